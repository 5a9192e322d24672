import { readClipTextConfig } from '../denoise/clip-text.ts'
import { type Bundle, networkFiles } from '../lib/bundles/bundles.ts'
import { networkPlace, weightFiles } from '../lib/bundles/weight-files.ts'
import { ConfigError } from '../lib/mesh/config.ts'
import { publishedConfig } from '../lib/nn/published-config.ts'
import { modelFileRecipe } from '../lib/runtime/model-file.ts'
import type { NetworkPool } from '../lib/runtime/pool.ts'
import type { Recipe } from '../lib/runtime/recipe.ts'
import { openClipTokenizer } from '../lib/tokenizers/clip.ts'
import { readClipVisionConfig } from '../vision/clip-vision.ts'
import { imageEmbeddingRecipe } from '../vision/networks.ts'
import { type Eyes, type JudgeName, judgesOf } from './eyes/eyes.ts'
import { createPersonDetector, readDetectorConfig } from './eyes/person-detector.ts'
import { createSafetyChecker } from './eyes/safety-checker.ts'
import { safetyCheckerRecipe } from './eyes/safety-checker-graph.ts'
import { createZeroShot } from './eyes/zero-shot.ts'
import { textEmbeddingRecipe } from './eyes/zero-shot-graphs.ts'
import { createJudge } from './judge.ts'
import { readPolicy, type SafetyPolicy } from './policy/policy.ts'
import type { Safety } from './safety.ts'

export interface OpenedSafety {
  readonly safety: Safety
  /** Who judges; what is not among them is not looked at. */
  readonly judges: readonly JudgeName[]
  /** All that it may use. */
  readonly networks: readonly Recipe[]
}

export interface SafetyOptions {
  /** The project's own where absent. */
  readonly policyFile?: string | undefined
  readonly require?: readonly JudgeName[] | undefined
}

/** An eye that a bundle has, with the networks behind it. */
interface Opened<Eye> {
  readonly eye: Eye
  readonly networks: readonly Recipe[]
}

/**
 * The judge of a bundle, which sees with the networks that its manifest names; words are judged whatever the bundle.
 * Throws a ConfigError for a policy that is wrong or a judge that is required and missing, otherwise as `weightFiles` does.
 */
export async function openSafety(
  bundle: Bundle,
  pool: NetworkPool,
  { policyFile, require = ['words'] }: SafetyOptions = {},
): Promise<OpenedSafety> {
  const policy = readPolicy(policyFile)
  const [detector, zeroShot, checker] = await Promise.all([
    openDetector(bundle, pool),
    openZeroShot(bundle, pool, policy),
    openChecker(bundle, pool, policy),
  ])
  const eyes: Eyes = { personDetector: detector?.eye, zeroShot: zeroShot?.eye, safetyChecker: checker?.eye }
  const judges = judgesOf(eyes)
  const missing = require.find((name) => !judges.includes(name))
  if (missing) {
    const has = `the bundle ${bundle.manifest.name} has ${judges.join(', ')}`
    throw new ConfigError(`MOMA_SAFETY_REQUIRE names ${missing}; allowed: what there is, ${has}.`)
  }
  const networks = [detector, zeroShot, checker].flatMap((opened) => opened?.networks ?? [])
  return { safety: createJudge(policy, eyes), judges, networks }
}

async function openDetector(
  bundle: Bundle,
  pool: NetworkPool,
): Promise<Opened<NonNullable<Eyes['personDetector']>> | null> {
  const { personDetector } = bundle.manifest.networks
  if (!personDetector) return null
  const config = readDetectorConfig(personDetector.config, networkPlace(bundle, 'personDetector'))
  const [file] = await networkFiles(bundle, 'personDetector')
  const recipe = modelFileRecipe('person detector', file!)
  return { eye: createPersonDetector(pool, recipe, config), networks: [recipe] }
}

/**
 * Both towers of a whole CLIP model; its tokenizer is the bundle's. Its config may say `person_bias` and, if it has only ever seen
 * cut-outs, `judges_pictures: false`.
 */
async function openZeroShot(
  bundle: Bundle,
  pool: NetworkPool,
  policy: SafetyPolicy,
): Promise<Opened<NonNullable<Eyes['zeroShot']>> | null> {
  const { networks, tokenizers } = bundle.manifest
  if (!networks.zeroShot) return null
  const place = networkPlace(bundle, 'zeroShot')
  const { config } = networks.zeroShot
  const own = readZeroShotConfig(config, place)
  const projection = publishedConfig(config, place).size('projection_dim')
  const vision = readClipVisionConfig(config, place)
  const weights = await weightFiles(bundle, 'zeroShot')
  const image = { ...imageEmbeddingRecipe(weights, vision, projection), name: 'zero-shot image' }
  const textConfig = readClipTextConfig(config.text_config, place)
  const text = textEmbeddingRecipe(weights, textConfig, projection)
  const tokenizer = await openClipTokenizer(`${bundle.folder}/${tokenizers.clip.folder}`)
  if (tokenizer.length !== textConfig.tokens) {
    throw new RangeError(
      `${place}: it takes texts of ${textConfig.tokens} tokens, the bundle's tokenizer makes ${tokenizer.length}`,
    )
  }
  const opened = { image, imageSizePx: vision.imageSize, text, tokenizer, ...own }
  return { eye: createZeroShot(pool, opened, policy.zeroShot), networks: [image, text] }
}

/** What a bundle may say beside CLIP's own config. Throws a RangeError that names the field. */
function readZeroShotConfig(config: Readonly<Record<string, unknown>>, place: string) {
  const personBias = config.person_bias ?? 0
  if (typeof personBias !== 'number' || !(Math.abs(personBias) <= 100)) {
    throw new RangeError(`${place}: person_bias is ${JSON.stringify(personBias)}, allowed is a number from -100 to 100`)
  }
  return { personBias, judgesPictures: publishedConfig(config, place).flag('judges_pictures', true) }
}

async function openChecker(
  bundle: Bundle,
  pool: NetworkPool,
  policy: SafetyPolicy,
): Promise<Opened<NonNullable<Eyes['safetyChecker']>> | null> {
  const { safetyChecker } = bundle.manifest.networks
  if (!safetyChecker) return null
  const place = networkPlace(bundle, 'safetyChecker')
  const vision = readClipVisionConfig(safetyChecker.config, place)
  const projection = publishedConfig(safetyChecker.config, place).size('projection_dim')
  const recipe = safetyCheckerRecipe(await weightFiles(bundle, 'safetyChecker'), vision, projection)
  const { adjustment } = policy.safetyChecker
  return { eye: createSafetyChecker(pool, { recipe, imageSizePx: vision.imageSize }, adjustment), networks: [recipe] }
}
