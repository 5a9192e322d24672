import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BundlePlaces } from '../../services/lib/bundles/bundles.ts'
import type { Hub } from '../../services/lib/bundles/hub.ts'
import type { LocalHub } from './server.ts'

const network = (file: string) => ({ config: {}, files: [file], compute: 'float32' })

/** A manifest that is sound as JSON; fields given replace its own. */
export const manifestOf = (fields: Record<string, unknown> = {}): Record<string, unknown> => ({
  formatVersion: 1,
  name: 'tiny',
  title: 'Tiny',
  description: 'A bundle for tests.',
  settings: {
    sizePx: 64,
    strength: { recontextualize: 1, retexture: 0.5 },
    guidance: 7.5,
    steps: 50,
    subjectBranchBelowTimestep: 950,
    subjectTokens: 'allOfWord',
    ipAdapterScale: 0.6,
    latentToRgb: { factors: [[0.3, 0.2, 0.2]] },
  },
  networks: {
    clipVision: network('vision/model.safetensors'),
    projector: network('llava/model-*.safetensors'),
    decoder: network('llava/model-*.safetensors'),
    mapping: { kind: 'gated', ...network('moma.th') },
    imageProjection: network('moma.th'),
    adapters: network('moma.th'),
    clipText: network('text/model.safetensors'),
    unet: network('unet/model.safetensors'),
    vae: network('vae/model.safetensors'),
  },
  tokenizers: { clip: { folder: 'tokenizer' }, llama: { folder: 'llava' } },
  licences: { free: { spdx: 'MIT' } },
  ...fields,
})

export interface TemporaryPlaces extends BundlePlaces, AsyncDisposable {}

/** Places in a temporary folder with one manifest called `tiny`. */
export async function placesWith(manifest: Record<string, unknown>): Promise<TemporaryPlaces> {
  const root = await mkdtemp(join(tmpdir(), 'moma-bundles-'))
  const manifests = join(root, 'manifests')
  await mkdir(join(manifests, 'tiny'), { recursive: true })
  await writeFile(join(manifests, 'tiny', 'manifest.json'), JSON.stringify(manifest))
  const remove = () => rm(root, { recursive: true, force: true })
  return { manifests, files: join(root, 'files'), [Symbol.asyncDispose]: remove }
}

/** The way to a local hub, with waits short enough for tests. */
export const wayTo = (server: LocalHub, more: Partial<Hub> = {}): Hub => ({
  url: server.url,
  retry: { attempts: 4, baseDelayMs: 5, maxDelayMs: 20 },
  idleTimeoutMs: 2000,
  ...more,
})
