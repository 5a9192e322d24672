import type { Graph } from '../lib/graph/build.ts'
import type { Recipe } from '../lib/runtime/recipe.ts'
import { openWeights, type WeightFiles } from '../lib/weights/open-weights.ts'
import { type ClipTextConfig, clipTextGraph } from './clip-text.ts'
import { conditionGraph } from './condition-graph.ts'
import { stepGraph } from './step-graph.ts'
import { subjectGraph } from './subject-graph.ts'
import type { UNetConfig } from './unet.ts'
import { type VaeConfig, vaeDecoderGraph, vaeEncoderGraph } from './vae.ts'

const module = import.meta.url

export function textRecipe(weights: WeightFiles, config: ClipTextConfig): Recipe {
  return { name: 'text encoder', module, builder: buildText.name, args: [weights, config] }
}

export function buildText(weights: WeightFiles, config: ClipTextConfig): Graph {
  return clipTextGraph(openWeights(weights), config)
}

export function vaeEncoderRecipe(weights: WeightFiles, config: VaeConfig): Recipe {
  return { name: 'VAE encoder', module, builder: buildVaeEncoder.name, args: [weights, config] }
}

export function buildVaeEncoder(weights: WeightFiles, config: VaeConfig): Graph {
  return vaeEncoderGraph(openWeights(weights), config)
}

export function vaeDecoderRecipe(weights: WeightFiles, config: VaeConfig): Recipe {
  return { name: 'VAE decoder', module, builder: buildVaeDecoder.name, args: [weights, config] }
}

export function buildVaeDecoder(weights: WeightFiles, config: VaeConfig): Graph {
  return vaeDecoderGraph(openWeights(weights), config)
}

/** `adapters` is the scope of MoMA's attention layers. */
export function subjectRecipe(unet: WeightFiles, adapters: WeightFiles, config: UNetConfig): Recipe {
  return { name: 'UNet, subject pass', module, builder: buildSubject.name, args: [unet, adapters, config] }
}

export function buildSubject(unet: WeightFiles, adapters: WeightFiles, config: UNetConfig): Graph {
  return subjectGraph(openWeights(unet), openWeights(adapters), config)
}

/** Scopes of the parts that turn an image embedding into keys and values, as plain data. */
export interface ContextAdapterFiles {
  readonly projection: WeightFiles
  readonly attentions: WeightFiles
  readonly embeddingChannels: number
}

export function conditionRecipe(unet: WeightFiles, adapter: ContextAdapterFiles, config: UNetConfig): Recipe {
  return { name: 'UNet, conditions', module, builder: buildCondition.name, args: [unet, adapter, config] }
}

export function buildCondition(unet: WeightFiles, adapter: ContextAdapterFiles, config: UNetConfig): Graph {
  const projection = openWeights(adapter.projection)
  const attentions = openWeights(adapter.attentions)
  return conditionGraph(
    openWeights(unet),
    { projection, attentions, embeddingChannels: adapter.embeddingChannels },
    config,
  )
}

export function stepRecipe(unet: WeightFiles, adapters: WeightFiles, config: UNetConfig): Recipe {
  return { name: 'UNet, step', module, builder: buildStep.name, args: [unet, adapters, config] }
}

export function buildStep(unet: WeightFiles, adapters: WeightFiles, config: UNetConfig): Graph {
  return stepGraph(openWeights(unet), openWeights(adapters), config)
}
