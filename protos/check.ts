// npm run protos: lints the contracts, compares them with the main branch's, and writes their TypeScript types.
// With --types it only writes the types, where they are older than the contracts.
import { spawnSync } from 'node:child_process'
import { globSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'

const folder = import.meta.dirname
const root = join(folder, '..')
const generated = join(root, 'services/lib/mesh/generated')
const executable = (name: string) => join(root, 'node_modules/.bin', name)

function run(command: string, args: readonly string[], cwd = folder): boolean {
  const { status, error } = spawnSync(command, args, { cwd, stdio: 'inherit' })
  if (error) console.error(`${command} can't be started: ${error.message}`)
  return status === 0
}

/** Contracts may only grow against what is committed on main; a copy without git or without that branch can't tell. */
function breaks(): boolean {
  const known = spawnSync('git', ['cat-file', '-e', 'main:protos/buf.yaml'], { cwd: root, stdio: 'ignore' })
  if (known.status !== 0) {
    console.log('protos: no git branch main with protos/ here, breaking changes were not looked for')
    return false
  }
  return !run(executable('buf'), ['breaking', '--against', '../.git#branch=main,subdir=protos'])
}

const contracts = globSync('moma/*/v1/*.proto', { cwd: folder }).sort()

function typesAreNew(): boolean {
  const written = statSync(join(generated, 'vision.ts'), { throwIfNoEntry: false })?.mtimeMs ?? 0
  const sources = [...contracts.map((name) => join(folder, name)), import.meta.filename]
  return sources.every((path) => statSync(path).mtimeMs < written)
}

function writeTypes(): boolean {
  rmSync(generated, { recursive: true, force: true })
  // The same options as the loader's in services/lib/mesh/contracts.ts.
  const options = ['--longs=Number', '--enums=String', '--defaults', '--oneofs', '--includeComments']
  const output = ['--grpcLib=@grpc/grpc-js', '--importFileExtension=.ts', '-I', folder, '-O', generated]
  return run(executable('proto-loader-gen-types'), [...options, ...output, ...contracts])
}

const typesOnly = process.argv.includes('--types')
const sound = typesOnly || (run(executable('buf'), ['lint']) && !breaks())
if (!sound || !((typesOnly && typesAreNew()) || writeTypes())) process.exitCode = 1
