import { llavaUnused } from '../context/context-graph.ts'
import { clipBuffers } from '../denoise/clip-text.ts'
import type { UnusedTensors } from '../lib/bundles/verify-networks.ts'
import { safetyCheckerUnused } from '../safety/eyes/safety-checker-graph.ts'
import { clipVisionUnused } from '../vision/clip-vision.ts'
import { vitUnused } from '../vision/vit.ts'

/** Of a whole CLIP model, both of whose towers are used. */
const clipUnused = [...clipBuffers, /^logit_scale$/]

/** What published checkpoints hold beside what the networks take. */
export const unusedTensors: UnusedTensors = {
  clipVision: clipVisionUnused,
  vitH: clipVisionUnused,
  decoder: llavaUnused,
  clipText: clipBuffers,
  zeroShot: clipUnused,
  safetyChecker: safetyCheckerUnused,
  'metrics.dino': vitUnused,
  'metrics.clipVision': clipUnused,
  'metrics.clipText': clipUnused,
}
