import { readdir, stat } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { BundleError, systemCode } from './errors.ts'
import { type Lock, readLock } from './lock.ts'
import {
  type Manifest,
  manifestName,
  type NetworkName,
  networkOf,
  readManifest,
  sourcesDigest,
  wantedSources,
} from './manifest.ts'
import { folderOf, matches, nameOf } from './paths.ts'
import { isRehearsal } from './rehearsal-mark.ts'

/** Where bundles are looked for, as absolute paths. */
export interface BundlePlaces {
  /** Manifests that come with the project: `<manifests>/<name>/manifest.json`. */
  readonly manifests: string
  /** Pulled files, outside version control: `<files>/<name>/`. A bundle of one's own, manifest and all, may stand here too. */
  readonly files: string
}

/** A bundle whose manifest is sound; says nothing on whether its files are there. */
export interface Bundle {
  readonly manifest: Manifest
  /** Absolute path of the folder that the manifest's paths are relative to. */
  readonly folder: string
}

export type BundleState =
  | { readonly kind: 'ready' }
  /** Complete, but of random numbers. */
  | { readonly kind: 'rehearsal' }
  | { readonly kind: 'not pulled' }
  | { readonly kind: 'incomplete'; readonly missing: number; readonly files: number }
  | { readonly kind: 'damaged'; readonly reason: string }

export interface BundleListing {
  readonly name: string
  readonly title: string
  /** Absolute path of the folder with the files, or of the manifest's folder where that is damaged. */
  readonly path: string
  readonly state: BundleState
}

const projectRoot = resolve(import.meta.dirname, '../../..')

/** The places by the environment: `MOMA_MODELS`, or `.moma/models` in the project. */
export function bundlePlaces(env: NodeJS.ProcessEnv = process.env): BundlePlaces {
  return {
    manifests: join(projectRoot, 'models'),
    files: env.MOMA_MODELS ? resolve(env.MOMA_MODELS) : join(projectRoot, '.moma', 'models'),
  }
}

async function entriesOf(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    const code = systemCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw new BundleError('disk', `${folder} cannot be listed.`, { cause: error })
  }
}

async function sizeOf(file: string): Promise<number | undefined> {
  const found = await stat(file).catch(() => undefined)
  return found?.isFile() ? found.size : undefined
}

async function manifestFolders(places: BundlePlaces): Promise<Map<string, string>> {
  const folders = new Map<string, string>()
  for (const place of [places.manifests, places.files]) {
    for (const name of await entriesOf(place)) {
      const folder = join(place, name)
      if (!folders.has(name) && (await sizeOf(join(folder, manifestName))) !== undefined) folders.set(name, folder)
    }
  }
  return folders
}

async function open(name: string, manifestFolder: string, places: BundlePlaces): Promise<Bundle> {
  const file = join(manifestFolder, manifestName)
  const shown = relative(process.cwd(), file)
  const manifest = await readManifest(shown.startsWith('..') ? file : shown)
  if (manifest.name !== name) {
    throw new BundleError(
      'manifest',
      `${file}: name is ${JSON.stringify(manifest.name)}; allowed: ${JSON.stringify(name)}, as its folder.`,
    )
  }
  return { manifest, folder: manifest.sources ? join(places.files, name) : manifestFolder }
}

/** Opens a bundle by name. Throws `BundleError` that lists the names there are, or says what is wrong with the manifest. */
export async function openBundle(name: string, places: BundlePlaces = bundlePlaces()): Promise<Bundle> {
  const folders = await manifestFolders(places)
  const folder = folders.get(name)
  if (folder === undefined) {
    const known = [...folders.keys()].sort().join(', ') || `none in ${places.manifests} and ${places.files}`
    throw new BundleError('notFound', `The bundle is ${JSON.stringify(name.slice(0, 100))}; allowed: ${known}.`)
  }
  return open(name, folder, places)
}

/** The relative paths that the first matching pattern names in a folder, sorted; empty where none matches. */
export async function firstMatches(folder: string, patterns: readonly string[]): Promise<string[]> {
  for (const pattern of patterns) {
    const names = await entriesOf(join(folder, folderOf(pattern)))
    const found = names.filter((name) => matches(nameOf(pattern), name)).sort()
    if (found.length > 0) return found.map((name) => join(folderOf(pattern), name).replaceAll('\\', '/'))
  }
  return []
}

/** Absolute paths of a network's weights. Throws `BundleError` where the bundle has no such network or its files are missing. */
export async function networkFiles(bundle: Bundle, name: NetworkName): Promise<string[]> {
  const network = networkOf(bundle.manifest, name)
  if (network === undefined) {
    const known = Object.keys(bundle.manifest.networks).join(', ')
    throw new BundleError('manifest', `The bundle ${bundle.manifest.name} has no network ${name}; it has ${known}.`)
  }
  const found = await firstMatches(bundle.folder, network.files)
  if (found.length > 0) return found.map((file) => join(bundle.folder, file))
  const { name: bundleName, sources } = bundle.manifest
  const option = name.startsWith('metrics.') ? ' --metrics' : ''
  const remedy = sources
    ? `Fetch them with: moma models pull ${bundleName}${option}.`
    : 'They should lie beside its manifest.'
  throw new BundleError(
    'notPulled',
    `The bundle ${bundleName} has no file ${network.files.join(' or ')} for ${name} in ${bundle.folder}. ${remedy}`,
  )
}

const tokenizerFiles = ['tokenizer.json', 'tokenizer.model', 'vocab.json']

async function stateByPatterns({ manifest, folder }: Bundle): Promise<BundleState> {
  const wanted = [
    ...Object.values(manifest.networks).map((network) => network?.files ?? []),
    ...Object.values(manifest.tokenizers).map((entry) => tokenizerFiles.map((name) => `${entry.folder}/${name}`)),
  ]
  let missing = 0
  for (const patterns of wanted) if ((await firstMatches(folder, patterns)).length === 0) missing++
  return verdict(missing, wanted.length)
}

async function stateByLock(folder: string, lock: Lock): Promise<BundleState> {
  let missing = 0
  for (const file of lock.files) if ((await sizeOf(join(folder, file.path))) !== file.sizeBytes) missing++
  return verdict(missing, lock.files.length)
}

function verdict(missing: number, files: number): BundleState {
  if (missing === 0) return { kind: 'ready' }
  return missing === files ? { kind: 'not pulled' } : { kind: 'incomplete', missing, files }
}

/** Whether the files are there, by presence and size alone; `verifyBundle` reads them. */
export async function bundleState(bundle: Bundle): Promise<BundleState> {
  if (await isRehearsal(bundle.folder)) return { kind: 'rehearsal' }
  const lock = await readLock(bundle.folder)
  const belongs = [false, true].some(
    (withMetrics) => lock?.sources === sourcesDigest(wantedSources(bundle.manifest, withMetrics)),
  )
  return lock && belongs ? stateByLock(bundle.folder, lock) : stateByPatterns(bundle)
}

/** Every bundle that has a manifest, by name, with the state of its files; a damaged one is listed with the reason. */
export async function listBundles(places: BundlePlaces = bundlePlaces()): Promise<BundleListing[]> {
  const folders = [...(await manifestFolders(places))].sort(([a], [b]) => (a < b ? -1 : 1))
  return Promise.all(
    folders.map(async ([name, folder]) => {
      try {
        const bundle = await open(name, folder, places)
        return { name, title: bundle.manifest.title, path: bundle.folder, state: await bundleState(bundle) }
      } catch (error) {
        if (!(error instanceof BundleError)) throw error
        return { name, title: name, path: folder, state: { kind: 'damaged', reason: error.message } as const }
      }
    }),
  )
}
