import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { contextGraph, llavaUnused } from '../../services/context/context-graph.ts'
import { readLlamaConfig } from '../../services/context/llama.ts'
import { mapping } from '../../services/context/mapping.ts'
import { clipBuffers, clipTextGraph, readClipTextConfig } from '../../services/denoise/clip-text.ts'
import { conditionGraph } from '../../services/denoise/condition-graph.ts'
import { stepGraph } from '../../services/denoise/step-graph.ts'
import { subjectGraph } from '../../services/denoise/subject-graph.ts'
import { readUNetConfig } from '../../services/denoise/unet.ts'
import { readVaeConfig, vaeDecoderGraph, vaeEncoderGraph } from '../../services/denoise/vae.ts'
import { readTextEmbeddingConfig, textEmbeddingGraph } from '../../services/evaluation/text-embedding.ts'
import { readManifest } from '../../services/lib/bundles/manifest.ts'
import { input } from '../../services/lib/graph/value.ts'
import type { Checkpoint, TensorEntry } from '../../services/lib/weights/tensor-entry.ts'
import { Weights } from '../../services/lib/weights/weights.ts'
import {
  clipVisionUnused,
  imageEmbeddingGraph,
  patchFeaturesGraph,
  readClipVisionConfig,
} from '../../services/vision/clip-vision.ts'
import { readVitConfig, vitGraph, vitUnused } from '../../services/vision/vit.ts'

// The names and shapes of the real checkpoints, as the reference libraries state them. Every tensor must be taken once,
// in its shape; `Weights` throws on a second time, on another shape, and on what is missing.

const read = (file: string) =>
  JSON.parse(readFileSync(new URL(`../../models/moma-sd15/layouts/${file}`, import.meta.url), 'utf8'))
const config = (name: string): unknown => read(`${name}.config.json`)

function layout(name: string): Weights {
  const shapes: Record<string, number[]> = read(`${name}.json`)
  const tensors = new Map<string, TensorEntry>()
  let offset = 0
  for (const [tensor, shape] of Object.entries(shapes)) {
    const length = shape.reduce((product, size) => product * size, 4)
    tensors.set(tensor, { name: tensor, dtype: 'float32', shape, file: `/${name}`, offset, length })
    offset += length
  }
  const checkpoint: Checkpoint = { source: name, tensors }
  return new Weights(checkpoint)
}

const manifest = await readManifest(fileURLToPath(new URL('../../models/moma-sd15/manifest.json', import.meta.url)))
const metrics = manifest.metrics!
const unetConfig = readUNetConfig(config('unet-sd15'), 'unet-sd15')

test('UNet and MoMA adapters: the three graphs share all tensors out among them', () => {
  const [unet, adapters] = [layout('unet-sd15'), layout('moma-adapters')]
  expect(unet.unclaimed().length).toBe(686)
  const attentions = adapters.at('self_cross_attentions')
  stepGraph(unet, attentions, unetConfig)
  conditionGraph(unet, { projection: adapters.at('projectors'), attentions, embeddingChannels: 1024 }, unetConfig)
  unet.finish()
  // The subject pass is the same UNet once more; what is new is its maps.
  subjectGraph(layout('unet-sd15'), attentions, unetConfig)
  mapping(adapters.at('llm_mapping.mapping'), input('state', 'float32', ['batch', 4096]), 'gated', 1024)
  adapters.finish()
})

test('IP-Adapter', () => {
  const w = layout('ip-adapter_sd15')
  const adapter = { projection: w.at('image_proj'), attentions: w.at('ip_adapter'), embeddingChannels: 1024 }
  conditionGraph(layout('unet-sd15'), adapter, unetConfig)
  w.finish()
})

test('VAE', () => {
  const w = layout('vae-sd')
  const vaeConfig = readVaeConfig(config('vae-sd'), 'vae-sd')
  vaeEncoderGraph(w, vaeConfig)
  vaeDecoderGraph(w, vaeConfig)
  w.finish()
})

test('CLIP-L text', () => {
  const w = layout('clip-text-l')
  clipTextGraph(w, readClipTextConfig(config('clip-text-l'), 'clip-text-l'))
  w.finish(clipBuffers)
})

test('CLIP-L/14-336 vision', () => {
  const clip = readClipVisionConfig(config('clip-vision-l14-336'), 'clip-vision-l14-336')
  const w = layout('clip-vision-l14-336')
  imageEmbeddingGraph(w, clip, 768)
  w.finish([/^text_model\./, /^text_projection\.weight$/, /^logit_scale$/, ...clipBuffers])
  // Patch features stop before the class token's norm and projection.
  const features = layout('clip-vision-l14-336')
  patchFeaturesGraph(features, clip)
  features.finish(clipVisionUnused)
})

test('ViT-H/14 vision', () => {
  const w = layout('clip-vision-h14')
  imageEmbeddingGraph(w, readClipVisionConfig(config('clip-vision-h14'), 'clip-vision-h14'), 1024)
  w.finish(clipBuffers)
})

describe('what pictures are measured with, as the manifest sets it', () => {
  test('DINO ViT-S/16', () => {
    const w = layout('dino-vits16')
    expect(readVitConfig(metrics.dino.config, 'manifest')).toEqual(readVitConfig(config('dino-vits16'), 'dino-vits16'))
    vitGraph(w, readVitConfig(metrics.dino.config, 'manifest'))
    w.finish(vitUnused)
  })

  test('CLIP ViT-B/32, both halves out of one file', () => {
    const whole = config('clip-b32')
    const vision = readClipVisionConfig(metrics.clipVision.config, 'manifest')
    expect(vision).toEqual(readClipVisionConfig(whole, 'clip-b32'))
    const text = readTextEmbeddingConfig(metrics.clipText.config, 'manifest')
    expect(text).toEqual(readTextEmbeddingConfig(whole, 'clip-b32'))
    const w = layout('clip-b32')
    imageEmbeddingGraph(w, vision, text.projection)
    textEmbeddingGraph(w, text)
    w.finish([/^logit_scale$/, ...clipBuffers])
  })
})

test('LLaVA', () => {
  const w = layout('llava-llama-7b')
  const llama = readLlamaConfig(config('llava-llama-7b'), 'llava-llama-7b')
  const context = { ...llama, featureChannels: 1024, mapping: 'gated', embeddingChannels: 1024 } as const
  contextGraph(w, layout('moma-adapters').at('llm_mapping.mapping'), context)
  w.finish(llavaUnused)
})

test('a missing tensor and a wrong shape are named with path, file and both shapes', () => {
  const w = layout('unet-sd15')
  expect(() => w.at('mid_block.resnets.0').tensor('conv3.weight', [1])).toThrow(
    "unet-sd15: tensor 'mid_block.resnets.0.conv3.weight' is missing",
  )
  expect(() => w.at('conv_in').tensor('bias', [640])).toThrow(
    "/unet-sd15: tensor 'conv_in.bias' has shape [320], the network expects [640]",
  )
  w.at('conv_in').tensor('bias', [320])
  expect(() => w.at('conv_in').tensor('bias', [320])).toThrow("tensor 'conv_in.bias' is taken twice")
  expect(() => w.finish()).toThrow('the network has no place for the tensors')
})
