import { execFileSync, spawn } from 'node:child_process'
import { chownSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * A throw-away PostgreSQL on a free loopback port, with Debian's binaries:
 *
 *     npm exec -- node test/postgres.ts npx jest services/generation
 *
 * runs the command with MOMA_TEST_DATABASE_URL set, and ends as it ends. Where no PostgreSQL is installed it says so and
 * runs the command without.
 */
export interface TestPostgres extends AsyncDisposable {
  readonly url: string
  /** Ends the server at once, as if the machine had gone, and brings it back. */
  stop(): void
  start(): void
}

/** Folder of the newest server's programs; null where there is none. */
export function findPostgres(): string | null {
  const root = '/usr/lib/postgresql'
  try {
    const versions = readdirSync(root).sort((a, b) => Number(b) - Number(a))
    const version = versions.find((name) => readdirSync(join(root, name, 'bin')).includes('initdb'))
    return version === undefined ? null : join(root, version, 'bin')
  } catch {
    return null
  }
}

export async function startPostgres(bin: string): Promise<TestPostgres> {
  const folder = mkdtempSync(join(tmpdir(), 'moma-postgres-'))
  const data = join(folder, 'data')
  const port = await freePort()
  // The server refuses to run as root.
  const isRoot = process.getuid?.() === 0
  if (isRoot) {
    const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
    chownSync(folder, id('-u'), id('-g'))
  }
  const run = (program: string, ...args: string[]) => {
    const command = [join(bin, program), ...args]
    const whole = isRoot ? ['runuser', '-u', 'postgres', '--', ...command] : command
    execFileSync(whole[0]!, whole.slice(1), { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] })
  }
  const settings = `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off`
  const start = () => run('pg_ctl', '-D', data, '-l', join(folder, 'log'), '-o', settings, '-w', 'start')
  const stop = () => run('pg_ctl', '-D', data, '-m', 'immediate', '-w', 'stop')
  run('initdb', '-D', data, '-U', 'moma', '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync')
  start()
  return {
    url: `postgres://moma@127.0.0.1:${port}/postgres`,
    stop,
    start,
    async [Symbol.asyncDispose]() {
      try {
        stop()
      } catch {
        // It was stopped already.
      }
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}

async function main(command: readonly string[]): Promise<number> {
  const bin = findPostgres()
  if (bin === null) process.stderr.write('No PostgreSQL is installed: tests run over PGlite alone.\n')
  await using postgres = bin === null ? null : await startPostgres(bin)
  const env = postgres ? { ...process.env, MOMA_TEST_DATABASE_URL: postgres.url } : process.env
  const child = spawn(command[0]!, command.slice(1), { stdio: 'inherit', env })
  // Awaited here: the server lives as long as the command.
  return await new Promise((resolve) => {
    child.once('error', () => resolve(127))
    child.once('exit', (code) => resolve(code ?? 1))
  })
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2))
