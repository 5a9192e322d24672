import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { BundlePlaces } from '../services/lib/bundles/bundles.ts'

const data = fileURLToPath(new URL('parity/data/', import.meta.url))

/** A bundle of the recorded toy networks: the whole topology in a second, its pictures mean nothing. */
export interface ToyBundle extends Disposable {
  readonly name: string
  readonly places: BundlePlaces
  /** For child processes: `MOMA_MODELS`. */
  readonly models: string
  readonly folder: string
}

export function createToyBundle(): ToyBundle {
  const models = mkdtempSync(join(tmpdir(), 'moma-toy-'))
  const name = 'moma-toy'
  const folder = join(models, name)
  mkdirSync(folder)
  for (const entry of readdirSync(data)) symlinkSync(join(data, entry), join(folder, entry))
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest(name), null, 2))
  return {
    name,
    models,
    folder,
    places: { manifests: join(models, 'none'), files: models },
    [Symbol.dispose]: () => rmSync(models, { recursive: true }),
  }
}

function manifest(name: string) {
  const config = (path: string): unknown => JSON.parse(readFileSync(join(data, path, 'config.json'), 'utf8'))
  const network = (path: string, file: string, prefix?: string) => ({
    config: config(path),
    files: [`${path}/${file}`],
    compute: 'float32',
    ...(prefix === undefined ? {} : { prefix }),
  })
  const llava = network('llava', 'pytorch_model.bin.index.json')
  const adapters = (prefix: string) => network('moma-adapters', 'attn_adapters_projectors.th', prefix)
  return {
    formatVersion: 1,
    name,
    title: 'Toy networks with random weights',
    description: 'For tests.',
    settings: {
      sizePx: 128,
      strength: { recontextualize: 1, retexture: 0.5 },
      guidance: 7.5,
      steps: 4,
      subjectBranchBelowTimestep: 950,
      subjectTokens: 'allOfWord',
      ipAdapterScale: 0.6,
      latentToRgb: {
        factors: [
          [0.3, 0.2, 0.2],
          [0.2, 0.3, 0.2],
          [-0.2, 0.2, 0.3],
          [-0.2, -0.3, -0.5],
        ],
      },
    },
    networks: {
      clipVision: network('clip-vision', 'pytorch_model.bin'),
      vitH: network('clip-vision-projection', 'model.safetensors'),
      projector: llava,
      decoder: llava,
      mapping: { kind: 'gated', ...adapters('llm_mapping.mapping') },
      imageProjection: adapters('projectors'),
      adapters: adapters('self_cross_attentions'),
      ipAdapter: network('ip-adapter', 'ip-adapter_sd15.bin'),
      clipText: network('clip-text', 'model.safetensors'),
      unet: network('unet', 'diffusion_pytorch_model.safetensors'),
      vae: network('vae', 'diffusion_pytorch_model.safetensors'),
      segmentation: network('segmentation', 'diffusion_pytorch_model.safetensors'),
    },
    metrics: {
      dino: network('vit', 'model.safetensors'),
      clipVision: network('clip-vision', 'pytorch_model.bin'),
      clipText: network('clip-text-projection', 'model.safetensors'),
    },
    tokenizers: { clip: { folder: 'tokenizers/clip' }, llama: { folder: 'tokenizers/llama' } },
    licences: {
      none: { name: 'Random numbers', url: 'https://www.apache.org/licenses/LICENSE-2.0', spdx: 'Apache-2.0' },
    },
  }
}
