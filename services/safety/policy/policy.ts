import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { ConfigError } from '../../lib/mesh/config.ts'
import { closeCalls } from '../words/judge-words.ts'

const share = z.number().min(0).max(1)
const sentences = z.array(z.string().min(1).max(200)).min(1).max(64)

const policy = z.strictObject({
  formatVersion: z.literal(1),
  /** Stands in every verdict. */
  version: z.string().regex(/^[a-z0-9][a-z0-9.-]{0,39}$/, 'lower-case letters, digits, "." and "-", at most 40'),
  words: z.strictObject({
    /** Word lists in `words/`. */
    languages: z
      .array(z.string().regex(/^[a-z]{2}$/, 'a language in two letters'))
      .min(1)
      .max(32),
    /** What people's words are in the names of such things. */
    closeCalls: z.record(z.enum(closeCalls), z.enum(['thing', 'person'])),
  }),
  subject: z.strictObject({
    personDetector: z.strictObject({
      /** From which score on a box counts. */
      score: share,
      /** Share of the subject's mask inside the box from which on the subject may be its person. */
      coverage: share,
      /** Share of the box that the subject fills from which on it is the person, not what the person wears or holds. */
      filling: share,
      /** From here up to `filling` it is a close call, which the zero-shot judgement decides. */
      closeFilling: share,
      /** Share of the picture that a person fills from which on the photo is one of a person, wherever the mask is. */
      wholePicture: share,
      /** The square around the subject that is looked at beside the photo. */
      crop: z.strictObject({
        /** Room on each side of the subject, as a share of its longer side. */
        margin: share,
        /** Its side is no less than this share of the photo's shorter one. */
        least: share,
      }),
    }),
    zeroShot: z.strictObject({
      /** Probability of a person from which on it decides alone. */
      person: share,
      /** The same in a close call. */
      closePerson: share,
      /** Probability of a statue, doll, robot … from which on it outvotes the detector, where a person is below `closePerson`. */
      lookAlike: share,
    }),
  }),
  picture: z.strictObject({
    personDetector: z.strictObject({
      score: share,
      /** Share of the picture from which on a person is its central thing. */
      area: share,
      /** The same for one who covers the picture's centre. */
      centralArea: share,
    }),
    zeroShot: z.strictObject({ person: share }),
  }),
  zeroShot: z.strictObject({
    /** What cosines are multiplied by; CLIP's trained scale is 100. */
    scale: z.number().min(1).max(1000),
    person: sentences,
    lookAlikes: sentences,
    things: sentences,
  }),
  safetyChecker: z.strictObject({
    /** Added to every score: more finds more. */
    adjustment: z.number().min(-0.1).max(0.1),
  }),
})

/** By which rules and thresholds is judged. */
export type SafetyPolicy = Readonly<z.infer<typeof policy>>

const longestBytes = 1 << 20
const committed = join(import.meta.dirname, 'policy.json')

/** Reads and checks a policy, the project's own where no file is named. Throws a ConfigError with one sentence. */
export function readPolicy(file: string = committed): SafetyPolicy {
  let value: unknown
  try {
    const bytes = readFileSync(file)
    if (bytes.length > longestBytes)
      throw new Error(`it has ${bytes.length} bytes, at most ${longestBytes} are allowed`)
    value = JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw new ConfigError(`The policy ${file} can't be read: ${error instanceof Error ? error.message : error}.`)
  }
  const result = policy.safeParse(value)
  if (result.success) return result.data
  const { path, message } = result.error.issues[0]!
  throw new ConfigError(`The policy ${file}: ${path.join('.') || 'the document'} is not allowed (${message}).`)
}
