import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { BundleError, systemCode } from './errors.ts'
import { isSafePath, isSafePattern } from './paths.ts'
import {
  anyObject,
  integer,
  list,
  number,
  object,
  oneOf,
  type Place,
  record,
  refuse,
  type Shape,
  text,
} from './shape.ts'

/** The manifest's format that this code reads. */
export const manifestVersion = 1
export const manifestName = 'manifest.json'

const longestManifestBytes = 1 << 20

const safePath: Shape<string> = (value, at) => {
  if (typeof value === 'string' && isSafePath(value)) return value
  throw refuse(value, at, 'a relative path with forward slashes and without ".."')
}

const pattern: Shape<string> = (value, at) => {
  if (typeof value === 'string' && isSafePattern(value)) return value
  throw refuse(value, at, 'a relative path with forward slashes, without "..", with "*" in its last part only')
}

const httpUrl = text(300, /^https?:\/\/[^\s]+$/, 'an http or https address')
const dtype = oneOf('float32', 'float16', 'bfloat16')

const networkRequired = {
  /** In the field names of the published config; checked by the network's own code. */
  config: anyObject,
  /** Patterns inside the bundle's folder, the preferred one first: the first that matches any file names the weights. */
  files: list(pattern, 1, 8),
  /** The precision the network computes in. */
  compute: dtype,
}
const networkOptional = {
  /** Precision of the tensors in the files, where the publisher's is known; the files themselves always say. */
  precision: dtype,
  /** Where the network's tensors start inside the files, such as `self_cross_attentions`. */
  prefix: text(200),
}

const network = object(networkRequired, networkOptional)
/** `resizePx`: the picture's shorter side before the square is cut out of its middle; the network's own size if not said. */
const metricNetwork = object(networkRequired, { ...networkOptional, resizePx: integer(16, 2048) })
const mapping = object({ ...networkRequired, kind: oneOf('linear', 'gated') }, networkOptional)
const tokenizer = object({ folder: safePath }, {})

const colour = list(number(-10, 10), 3, 3)

/** The paper's strengths reach 1.2; beyond it the subject is pasted rather than drawn. */
export const strengthRange = { min: 0, max: 1.2 } as const

const settings = object(
  {
    /** Width and height of the pictures the bundle was made for, in pixels. */
    sizePx: integer(64, 2048, 64),
    strength: object(
      {
        recontextualize: number(strengthRange.min, strengthRange.max),
        retexture: number(strengthRange.min, strengthRange.max),
      },
      {},
    ),
    guidance: number(1, 30),
    steps: integer(1, 1000),
    /** The subject branch is on at timesteps below this one: 950 leaves it off for the first two of fifty steps, 1000 never does. */
    subjectBranchBelowTimestep: integer(0, 1000),
    /** Which tokens of each word of the subject noun carry the mask: its first, as the released code does, or all of them. */
    subjectTokens: oneOf('firstOfWord', 'allOfWord'),
    ipAdapterScale: number(0, 2),
    /** Linear picture of the latents: RGB in -1..1 = latents · factors + bias, one row of factors a latent channel. */
    latentToRgb: object({ factors: list(colour, 1, 16) }, { bias: colour }),
  },
  {},
)

const licence: Shape<Licence> = (value, at) => {
  const read = object({}, { spdx: text(60), name: text(120), url: httpUrl, note: text(400) })(value, at)
  if (read.spdx === undefined && (read.name === undefined || read.url === undefined)) {
    throw refuse(value, at, 'an spdx identifier, or a name together with a url')
  }
  return read
}

/** A licence by its SPDX identifier, or by name and address. */
export interface Licence {
  readonly spdx?: string
  readonly name?: string
  readonly url?: string
  readonly note?: string
}

const sha256 = text(64, /^[0-9a-f]{64}$/, '64 lower-case hexadecimal digits')
const exactFile = object({ from: safePath, to: safePath }, { sizeBytes: integer(0, 2 ** 40), sha256 })
const fileSet = object({ anyOf: list(list(pattern, 1, 8), 1, 8), to: safePath }, {})

/** One file by its path in the repository (`from`) and in the bundle's folder (`to`), with what is known of it for certain. */
export type ExactFile = ReturnType<typeof exactFile>
/** Alternatives of patterns: the first alternative whose patterns all match is fetched, by file name, into the folder `to`. */
export type FileSet = ReturnType<typeof fileSet>

const sourceFile: Shape<ExactFile | FileSet> = (value, at) =>
  typeof value === 'object' && value !== null && 'anyOf' in value ? fileSet(value, at) : exactFile(value, at)

const source = object(
  {
    repository: text(200, /^[\w][\w.-]*\/[\w][\w.-]*$/, 'a repository as owner/name'),
    /** A commit, tag or branch; everything is fetched from the commit that it means when the pull starts. */
    revision: text(200, /^[\w][\w./-]*$/, 'a commit, tag or branch'),
    /** Key in `licences`. */
    licence: text(60),
    files: list(sourceFile, 1, 64),
  },
  /** What the files are for, where not every bundle needs them: those for measuring are fetched only when asked for. */
  { only: oneOf('metrics') },
)

const document = object(
  {
    formatVersion: oneOf(manifestVersion),
    name: text(64, /^[a-z0-9][a-z0-9.-]*$/, 'lower-case letters, digits, "." and "-"'),
    title: text(120),
    description: text(1000),
    settings,
    networks: object(
      {
        clipVision: network,
        projector: network,
        decoder: network,
        mapping,
        imageProjection: network,
        adapters: network,
        clipText: network,
        unet: network,
        vae: network,
      },
      {
        vitH: network,
        ipAdapter: network,
        segmentation: network,
        /** What the safety service sees with; docs/safety.md has their contracts. */
        personDetector: network,
        zeroShot: network,
        safetyChecker: network,
      },
    ),
    tokenizers: object({ clip: tokenizer, llama: tokenizer }, {}),
    licences: record(licence, 32),
  },
  {
    /** What pictures are measured with: DINO and a pair of CLIP; nothing is drawn with them. */
    metrics: object(
      { dino: metricNetwork, clipVision: metricNetwork, clipText: network },
      /** Of the text half, where it is another than the one that draws. */
      { tokenizer },
    ),
    /** A file of prompts to measure with, in the bundle's folder. */
    prompts: safePath,
    /** Absent where the weights lie beside the manifest. */
    sources: list(source, 1, 32),
  },
)

/** What a bundle is made of: networks with their configs and files, settings, licences and where the files come from. */
export type Manifest = ReturnType<typeof document>
export type Network = ReturnType<typeof network>
export type Metrics = NonNullable<Manifest['metrics']>
type MetricName = Exclude<keyof Metrics, 'tokenizer'>
export type NetworkName = keyof Manifest['networks'] | `metrics.${MetricName}`
export type Source = ReturnType<typeof source>
export type Settings = ReturnType<typeof settings>

/** A network by its name; undefined where the bundle does not have it. */
export function networkOf({ networks, metrics }: Manifest, name: NetworkName): Network | undefined {
  switch (name) {
    case 'metrics.dino':
      return metrics?.dino
    case 'metrics.clipVision':
      return metrics?.clipVision
    case 'metrics.clipText':
      return metrics?.clipText
    default:
      return networks[name]
  }
}

function checkReferences(manifest: Manifest, file: string): void {
  const targets = new Set<string>()
  manifest.sources?.forEach((entry, index) => {
    const at = (path: string): Place => ({ file, path: `sources[${index}].${path}` })
    if (!Object.hasOwn(manifest.licences, entry.licence)) {
      throw refuse(entry.licence, at('licence'), `a key of licences (${Object.keys(manifest.licences).join(', ')})`)
    }
    entry.files.forEach((wanted, position) => {
      if ('anyOf' in wanted) return
      if (targets.has(wanted.to)) throw refuse(wanted.to, at(`files[${position}].to`), 'a path that no other file has')
      targets.add(wanted.to)
    })
  })
}

/** Checks a parsed manifest; `file` is how errors name it. Throws `BundleError` with file, field, value got and values allowed. */
export function parseManifest(value: unknown, file: string): Manifest {
  const manifest = document(value, { file, path: '' })
  checkReferences(manifest, file)
  return manifest
}

/** Reads and checks a manifest of at most 1 MiB. Throws `BundleError` where it is missing, no JSON or not as it should be. */
export async function readManifest(file: string): Promise<Manifest> {
  const bytes = await readFile(file).catch((error: unknown) => {
    const missing = systemCode(error) === 'ENOENT'
    throw new BundleError('manifest', `${file} ${missing ? 'does not exist' : 'cannot be read'}.`, { cause: error })
  })
  if (bytes.length > longestManifestBytes) {
    throw new BundleError('manifest', `${file} has ${bytes.length} bytes; allowed: at most ${longestManifestBytes}.`)
  }
  return parseManifest(parseJson(bytes.toString('utf8'), file), file)
}

function parseJson(content: string, file: string): unknown {
  try {
    return JSON.parse(content)
  } catch (error) {
    throw new BundleError('manifest', `${file} is not JSON: ${error instanceof Error ? error.message : error}.`)
  }
}

/** The sources of what draws, with those of what measures or without; undefined where the files lie beside the manifest. */
export function wantedSources({ sources }: Manifest, withMetrics: boolean): readonly Source[] | undefined {
  return sources?.filter(({ only }) => withMetrics || only !== 'metrics')
}

/** SHA-256 over sources: says whether a lock still belongs to them. */
export function sourcesDigest(sources: readonly Source[] | undefined): string {
  return createHash('sha256')
    .update(JSON.stringify(sources ?? []))
    .digest('hex')
}
