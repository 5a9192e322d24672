import type { Method } from '../generation/request.ts'
import type { Measures } from './measures.ts'
import type { PromptKind } from './prompts.ts'

export const metricNames = [
  'dino',
  'clipI',
  'clipTContext',
  'clipTTexture',
  'clipT',
  'thingRecognised',
  'placeRecognised',
  'textureRecognised',
  'maskIou',
] as const
export type MetricName = (typeof metricNames)[number]

export interface Metric {
  readonly title: string
  /** Which pictures it is taken of; null for all. */
  readonly kind: PromptKind | null
  /** One sentence for the report's reader. */
  readonly meaning: string
  readonly of: (measures: Measures) => number | null
}

export const metrics: Readonly<Record<MetricName, Metric>> = {
  dino: {
    title: 'DINO',
    kind: 'context',
    meaning: "mean cosine of DINO's class tokens, picture to each photo of the thing",
    of: ({ dino }) => dino,
  },
  clipI: {
    title: 'CLIP-I',
    kind: 'context',
    meaning: "mean cosine of CLIP's picture embeddings, picture to each photo of the thing",
    of: ({ clipI }) => clipI,
  },
  clipTContext: {
    title: 'CLIP-T(c)',
    kind: 'context',
    meaning: "cosine of CLIP's embeddings, picture to its prompt, context prompts",
    of: ({ clipT }) => clipT,
  },
  clipTTexture: {
    title: 'CLIP-T(t)',
    kind: 'texture',
    meaning: "cosine of CLIP's embeddings, picture to its prompt, texture prompts",
    of: ({ clipT }) => clipT,
  },
  clipT: {
    title: 'CLIP-T',
    kind: null,
    meaning: "cosine of CLIP's embeddings, picture to its prompt, prompts of both kinds",
    of: ({ clipT }) => clipT,
  },
  thingRecognised: {
    title: 'thing recognised',
    kind: 'context',
    meaning: "share of pictures that DINO finds nearer to their own thing's photos than to any other thing's",
    of: ({ thingRecognised }) => thingRecognised,
  },
  placeRecognised: {
    title: 'place recognised',
    kind: 'context',
    meaning: 'share of pictures that CLIP finds nearest to their own one of all context prompts',
    of: ({ promptRecognised }) => promptRecognised,
  },
  textureRecognised: {
    title: 'texture recognised',
    kind: 'texture',
    meaning: 'share of pictures that CLIP finds nearest to their own one of all texture prompts',
    of: ({ promptRecognised }) => promptRecognised,
  },
  maskIou: {
    title: 'mask IoU',
    kind: 'context',
    meaning:
      "overlap of the last step's mask with the thing; where the thing truly is nobody knows, so the bundle's segmentation network, run on the picture, stands in for it",
    of: ({ maskIou }) => maskIou,
  },
}

/**
 * An ordering of methods that the paper states (supplement, B2 and Table 1), or that its claim to keep a thing's details
 * implies: `better` has the larger value.
 */
export interface StatedOrdering {
  readonly metric: MetricName
  readonly better: Method
  readonly worse: Method
  readonly statement: string
}

const ordering = (metric: MetricName, worse: Method, statement: string): StatedOrdering => ({
  metric,
  better: 'moma',
  worse,
  statement,
})

export const statedOrderings: readonly StatedOrdering[] = [
  ordering('clipTContext', 'no-mask', 'without the mask CLIP-T falls'),
  ordering('clipI', 'no-subject', 'without the subject branch CLIP-I falls'),
  ordering('dino', 'no-subject', "the subject branch carries the thing's details"),
  ordering('clipT', 'no-mllm', 'without the MLLM CLIP-T falls'),
  ordering('clipTContext', 'no-mllm', "the MLLM's context features are what the prompt's following rests on"),
  ordering('clipTTexture', 'no-mllm', "the MLLM's context features are what a new material rests on"),
  ordering('clipI', 'no-mllm', "the MLLM's context features are what the thing's likeness rests on"),
  ordering('dino', 'ip-adapter', "MoMA keeps the thing's details better than IP-Adapter"),
  ordering('clipI', 'ip-adapter', 'MoMA keeps the thing better than IP-Adapter'),
  ordering('clipTContext', 'ip-adapter', "MoMA's CLIP-T(c) is above IP-Adapter's"),
  ordering('clipTTexture', 'ip-adapter', "MoMA's CLIP-T(t) is above IP-Adapter's"),
]
