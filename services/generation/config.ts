import type { z } from 'zod'
import { setting, textSetting, wholeSetting, wordSetting } from '../lib/mesh/config.ts'
import { executionProviders } from '../lib/runtime/recipe.ts'
import { defaultLimits, type GenerationLimits } from './limits.ts'

const dayMs = 24 * 3600_000

/** What the generation service reads beside what every server does. */
export const generationShape = {
  /** Without it, a database of this process alone lies in MOMA_DATA. */
  DATABASE_URL: setting('postgres://user:password@host:port/database', (text) =>
    /^postgres(?:ql)?:\/\/\S+$/.test(text) ? text : null,
  ).optional(),
  /** Files go to this bucket instead of MOMA_DATA; credentials come from where the AWS SDK looks for them. */
  MOMA_S3_BUCKET: textSetting.optional(),
  MOMA_S3_REGION: textSetting.default('us-east-1'),
  /** Of a server that speaks S3, such as MinIO. */
  MOMA_S3_ENDPOINT: setting('an http or https address', (text) =>
    /^https?:\/\/\S+$/.test(text) ? text : null,
  ).optional(),
  MOMA_MAX_UPLOAD_BYTES: wholeSetting(1, 2 ** 28).default(defaultLimits.maxUploadBytes),
  /** Generations that a tenant may have waiting. */
  MOMA_MAX_QUEUED: wholeSetting(1, 100_000).default(defaultLimits.maxQueued),
  /** Ended generations are deleted after so many days; never where it is not set. */
  MOMA_RETENTION_DAYS: wholeSetting(1, 36_500).optional(),
  /** What the services with networks compute with: capabilities say it. */
  MOMA_PROVIDER: wordSetting(executionProviders).default('cpu'),
}

export type GenerationConfig = z.infer<z.ZodObject<typeof generationShape>>

export function limitsOf(config: GenerationConfig): GenerationLimits {
  return {
    ...defaultLimits,
    maxUploadBytes: config.MOMA_MAX_UPLOAD_BYTES,
    maxQueued: config.MOMA_MAX_QUEUED,
    retentionMs: config.MOMA_RETENTION_DAYS === undefined ? null : config.MOMA_RETENTION_DAYS * dayMs,
  }
}
