import { wholeSetting } from '../../lib/mesh/config.ts'
import { defaultRunnerSettings as defaults } from './runner.ts'

/** What a process with a runner reads. */
export const runnerShape = {
  /** Generations that one process works on at once: as many as there are slots to denoise in. */
  MOMA_CONCURRENCY: wholeSetting(1, 64).default(defaults.concurrency),
  MOMA_CHECKPOINT_STEPS: wholeSetting(1, 999).default(defaults.checkpointEverySteps),
  /** 0 for no previews. */
  MOMA_PREVIEW_STEPS: wholeSetting(0, 999).default(defaults.previewEverySteps),
  /** 0 for previews of a pixel a latent alone. */
  MOMA_DECODE_PREVIEW_STEPS: wholeSetting(0, 999).default(defaults.decodePreviewEverySteps),
}
