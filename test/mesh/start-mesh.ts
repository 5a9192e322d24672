import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePorts } from '../../cli/start/ports.ts'

const program = fileURLToPath(new URL('../../cli/moma.ts', import.meta.url))

/** A `moma start` in a process of its own. */
export interface StartedMesh extends AsyncDisposable {
  readonly url: string
  /** Folder of its data; another start on it goes on where this one stopped. */
  readonly data: string
  /** Of the supervisor. */
  readonly pid: number
  /** From the spawn to the line that says it is ready. */
  readonly readyMs: number
  /** All that it has written so far. */
  output(): string
  /** Ends it by a signal and waits until it is gone; its exit code, null when the signal itself ended it. */
  end(signal: NodeJS.Signals): Promise<number | null>
}

export interface StartOptions {
  /** Kept when the mesh ends; a temporary one that goes with it where none is given. */
  readonly data?: string
  readonly port?: number
  readonly env?: NodeJS.ProcessEnv
  readonly readyTimeoutMs?: number
}

/** Starts the whole mesh on the toy bundle and waits until it is ready. Throws with all that it said when it is not. */
export async function startMesh({ readyTimeoutMs = 60_000, ...options }: StartOptions = {}): Promise<StartedMesh> {
  const data = options.data ?? (await mkdtemp(join(tmpdir(), 'moma-mesh-')))
  const port = options.port ?? (await freePorts(1))[0]!
  const started = performance.now()
  const child = spawn(process.execPath, [program, 'start'], {
    env: {
      ...process.env,
      MOMA_BUNDLE: 'moma-toy',
      ...options.env,
      MOMA_DATA: data,
      HOST: '127.0.0.1',
      PORT: `${port}`,
    },
    // It ends with this process, whatever that dies of.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  let output = ''
  const ready = new Promise<void>((resolve) => {
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text
        if (output.includes('is ready at')) resolve()
      })
    }
  })
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal)
    return exited
  }
  const dispose = async () => {
    if (child.exitCode === null && child.signalCode === null) await end('SIGTERM')
    if (options.data === undefined) await rm(data, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  }
  const settled = await Promise.race([
    ready.then(() => 'ready'),
    exited.then(() => 'exited'),
    sleep(readyTimeoutMs, 'late', { ref: false }),
  ])
  if (settled !== 'ready') {
    await dispose()
    throw new Error(`the mesh did not get ready (${settled}):\n${output}`)
  }
  return {
    url: `http://127.0.0.1:${port}`,
    data,
    pid: child.pid!,
    readyMs: performance.now() - started,
    output: () => output,
    end,
    [Symbol.asyncDispose]: dispose,
  }
}
