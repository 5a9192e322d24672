import { llavaUnused } from '../context/context-graph.ts'
import { clipBuffers } from '../denoise/clip-text.ts'
import type { UnusedTensors } from '../lib/bundles/verify-networks.ts'
import { clipVisionUnused } from '../vision/clip-vision.ts'

/** What published checkpoints hold beside what the services' networks take. */
export const unusedTensors: UnusedTensors = {
  clipVision: clipVisionUnused,
  vitH: clipVisionUnused,
  decoder: llavaUnused,
  clipText: clipBuffers,
}
