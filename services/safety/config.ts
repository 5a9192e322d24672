import { join } from 'node:path'
import type { z } from 'zod'
import { readConfig, setting, textSetting } from '../lib/mesh/config.ts'
import { type JudgeName, judges } from './eyes/eyes.ts'

/** What the safety service reads of the environment. */
export const safetyShape = {
  /** A file in the place of the project's own policy. */
  MOMA_SAFETY_POLICY: textSetting.optional(),
  /** Judges without which it does not start, with commas between. */
  MOMA_SAFETY_REQUIRE: setting(`one or several of ${judges.join(', ')}, with commas between`, readJudges).optional(),
}

export type SafetyProcessConfig = z.infer<z.ZodObject<typeof safetyShape>> & {
  /** Absolute; where the audit log is kept. */
  readonly auditFolder: string
}

/** Throws a ConfigError that names the variable. */
export function readSafetyConfig(env: NodeJS.ProcessEnv, dataFolder: string): SafetyProcessConfig {
  return { ...readConfig(safetyShape, env), auditFolder: join(dataFolder, 'safety') }
}

function readJudges(text: string): JudgeName[] | null {
  const names = text.split(',').map((name) => judges.find((judge) => judge === name.trim()))
  return names.every((name) => name !== undefined) ? names : null
}
