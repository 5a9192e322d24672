import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { cpus } from 'node:os'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { threadId } from 'node:worker_threads'
import { env, type InferenceSession } from 'onnxruntime-node'
import type { Graph } from '../graph/build.ts'
import { weightBytes } from '../graph/folding.ts'
import { type ExecutionOptions, type Recipe, recipeKey } from './recipe.ts'

/** A network as the runtime had optimised it, in a file for the next process; or the place for one. */
export interface KeptNetwork {
  /** Absolute. Its name stands for all that decides what is in it. */
  readonly file: string
  /** Memory that its weights take once loaded; null where the file is not there yet. */
  readonly weightBytes: number | null
  /** Absolute paths of the files that the name stands for, besides the code. */
  readonly reads: ReadonlySet<string>
}

/** A larger network's weights take longer to write and read a second time than its graph takes to be optimised. */
const mostWeightBytes = 64 * 2 ** 20

/** Of all files in the folder: some bundles' networks. The oldest leave. */
const mostFolderBytes = 384 * 2 ** 20
const mostFiles = 64

const extension = '.ort'
const partLifeMs = 3_600_000
const codeFolder = resolve(import.meta.dirname, '../..')

/** Where a recipe's network is kept, or null where none is: on other providers than the CPU, and of code outside of the project. */
export function keptNetwork({ provider, keptIn }: ExecutionOptions, recipe: Recipe): KeptNetwork | null {
  if (keptIn === undefined || provider !== 'cpu') return null
  if (!fileURLToPath(recipe.module).startsWith(codeFolder)) return null
  const reads = new Set(pathsIn(recipe.args))
  const hash = createHash('sha256')
  for (const part of [recipeKey(recipe), ...[...reads].map(fileState), machineState()]) hash.update(`${part}\n`)
  const file = join(keptIn, `${hash.digest('hex')}${extension}`)
  const found = statSync(file, { throwIfNoEntry: false })
  // The weights are all but the whole of it.
  return { file, weightBytes: found?.isFile() ? found.size : null, reads }
}

/** Forgets a file that the runtime can't read. */
export function forget({ file }: KeptNetwork): void {
  rmSync(file, { force: true })
}

/**
 * Creates the session of `graph` and has the runtime write what it made of it to `place`, where it is small enough and
 * the name stands for all of its weights. Where nothing can be written, nothing is.
 */
export async function createAndKeep(
  place: KeptNetwork | null,
  graph: Graph,
  create: (more: InferenceSession.SessionOptions) => Promise<InferenceSession>,
): Promise<InferenceSession> {
  const part = place && isKeepable(place, graph) ? openPart(place) : null
  if (!place || part === null) return create({})
  try {
    const session = await create({ optimizedModelFilePath: part })
    // Nobody waits for the disk but the thread's own end.
    void publish(part, place)
    return session
  } catch {
    rmSync(part, { force: true })
    return create({})
  }
}

function isKeepable({ reads }: KeptNetwork, graph: Graph): boolean {
  return graph.files.every((file) => reads.has(file)) && weightBytes(graph) <= mostWeightBytes
}

/** An empty file beside the place, which nobody else writes; null where the folder can't be written. */
function openPart({ file }: KeptNetwork): string | null {
  const part = file.replace(extension, `.${process.pid}-${threadId}.part${extension}`)
  try {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(part, '')
    return part
  } catch {
    return null
  }
}

/** Moves what was written to its place, once all of it is on the disk. Where that fails there is none. */
async function publish(part: string, { file }: KeptNetwork): Promise<void> {
  try {
    await using handle = await open(part, 'r+')
    await handle.sync()
    renameSync(part, file)
    removeOldest(dirname(file))
  } catch {
    rmSync(part, { force: true })
  }
}

function removeOldest(folder: string): void {
  const files = readdirSync(folder).flatMap((name) => {
    const found = statSync(join(folder, name), { throwIfNoEntry: false })
    return found && name.endsWith(extension) ? [{ name, sizeBytes: found.size, atMs: found.mtimeMs }] : []
  })
  let total = 0
  for (const [index, { name, sizeBytes, atMs }] of files.sort((a, b) => b.atMs - a.atMs).entries()) {
    total += sizeBytes
    const isLeft = name.includes('.part') && Date.now() - atMs > partLifeMs
    if (isLeft || index >= mostFiles || total > mostFolderBytes) rmSync(join(folder, name), { force: true })
  }
}

/** Every absolute path in a recipe's arguments. */
function pathsIn(value: unknown): string[] {
  if (typeof value === 'string') return isAbsolute(value) ? [value] : []
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(pathsIn) : []
}

/** Changes with whatever is done to the file: nothing sets the time of its last change but the system. */
function fileState(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false })
  return `${path} ${found?.size} ${found?.mtimeMs} ${found?.ctimeMs}`
}

let state: string | undefined

/** The code that builds graphs, the runtime, and the processor, whose own layouts an optimised graph may hold. */
function machineState(): string {
  state ??= [
    ...readdirSync(codeFolder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
      .map((name) => fileState(join(codeFolder, name))),
    JSON.stringify(env.versions),
    process.arch,
    processor(),
  ].join('\n')
  return state
}

function processor(): string {
  try {
    return /^(flags|Features)\s*:.*$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[0] ?? ''
  } catch {
    return cpus()[0]?.model ?? ''
  }
}
