import { conditionGraph } from '../../services/denoise/condition-graph.ts'
import {
  type Conditions,
  type DenoiseSettings,
  denoise,
  initialState,
  type StepNetwork,
} from '../../services/denoise/denoise.ts'
import { foregroundTokens } from '../../services/denoise/foreground.ts'
import { addNoise } from '../../services/denoise/samplers/ddim.ts'
import { stepGraph } from '../../services/denoise/step-graph.ts'
import { subjectGraph } from '../../services/denoise/subject-graph.ts'
import { readUNetConfig } from '../../services/denoise/unet.ts'
import { readVaeConfig, vaeDecoderGraph, vaeEncoderGraph } from '../../services/denoise/vae.ts'
import { type FloatTensor, floatTensor, type HostTensor, stacked } from '../../services/lib/runtime/tensor.ts'
import {
  goldenWeights,
  networkTolerance,
  type OpenGraph,
  openGraph,
  readGolden,
  readJson,
  relativeError,
  runGraph,
} from './golden.ts'

// The whole method against an independent reading of it in PyTorch, with diffusers' UNet, VAE and scheduler.

const golden = readGolden('moma')
const config = readUNetConfig(readJson('unet/config.json'), 'unet')
const vae = readVaeConfig(readJson('vae/config.json'), 'vae')
const unet = () => goldenWeights('unet/diffusion_pytorch_model.safetensors')
const vaeWeights = () => goldenWeights('vae/diffusion_pytorch_model.safetensors')
const adapters = () => goldenWeights('moma-adapters/attn_adapters_projectors.th')
const attentions = () => adapters().at('self_cross_attentions')

const float = (tensor: HostTensor): FloatTensor => floatTensor(tensor.shape, Array.from(tensor.data, Number))
const input = (name: string) => float(golden.in(name))

const settings: DenoiseSettings = {
  sampler: 'ddim',
  steps: 50,
  guidance: 7.5,
  strength: 1,
  contextScale: 1,
  masking: true,
  subjectBranchBelowTimestep: 950,
}

let subject: Record<string, FloatTensor>
let moma: Conditions
let step: OpenGraph

beforeAll(async () => {
  subject = await subjectFeatures()
  moma = await conditions(golden.out('context_embedding'), adapters(), 'projectors', 'self_cross_attentions')
  step = await openGraph(stepGraph(unet(), attentions(), config))
})

afterAll(() => step.release())

async function subjectFeatures() {
  const encoder = vaeEncoderGraph(vaeWeights(), vae)
  const { mean, log_variance: logVariance } = await runGraph(encoder, { pictures: input('reference_image') })
  const noise = input('reference_sample_noise').data
  const sample = mean!.data.map(
    (middle, index) => (middle + Math.exp(0.5 * logVariance!.data[index]!) * noise[index]!) * vae.scalingFactor,
  )
  const latents = floatTensor(mean!.shape, addNoise(sample, input('reference_timestep_noise').data, 0))
  expect(relativeError(latents, golden.out('reference_latents'))).toBeLessThan(networkTolerance)
  const places = foregroundTokens(input('mask_latents').data, 16, 16, 4)
  return runGraph(subjectGraph(unet(), attentions(), config), {
    latents,
    text: golden.out('noun_states'),
    ...Object.fromEntries(places.map((tensor, level) => [`foreground.${level}`, tensor])),
  })
}

async function conditions(
  embedding: FloatTensor,
  w: ReturnType<typeof adapters>,
  projection: string,
  layers: string,
): Promise<Conditions> {
  const graph = conditionGraph(
    unet(),
    { projection: w.at(projection), attentions: w.at(layers), embeddingChannels: 32 },
    config,
  )
  const features = await runGraph(graph, {
    text: golden.out('text_states'),
    context_embedding: stacked([floatTensor([1, 32]), embedding]),
  })
  const subjectTokens = floatTensor([77])
  for (const position of input('subject_positions').data) subjectTokens.data[position] = 1
  return { features: { ...subject, ...features }, subjectTokens }
}

const network: StepNetwork = async (feeds) => {
  const { epsilon, next_mask: mask } = await step.run(feeds)
  return { epsilon: epsilon!, mask: mask! }
}

async function lastLatents(
  conditioned: Conditions,
  changed: Partial<DenoiseSettings>,
  latents = input('latents'),
): Promise<FloatTensor> {
  let last = latents
  for await (const state of denoise(network, conditioned, { ...settings, steps: 6, ...changed }, initialState(latents)))
    last = state.latents
  return last
}

test('subject keys and values are those of the subject among all tokens', () => {
  const places = foregroundTokens(input('mask_latents').data, 16, 16, 4)
  for (const [block, level] of [
    [0, 0],
    [7, 2],
    [15, 3],
  ] as const) {
    for (const kind of ['key', 'value']) {
      const all = golden.out(`subject_${kind}.${block}`)
      const channels = all.shape[2]!
      const rows = Array.from(places[level]!.data, (place) => [
        ...all.data.subarray(Number(place) * channels, (Number(place) + 1) * channels),
      ])
      const expected = floatTensor([1, rows.length, channels], rows.flat())
      expect(relativeError(subject[`subject_${kind}.${block}`], expected)).toBeLessThan(networkTolerance)
    }
  }
})

test('guided ε and mask of the first step agree', async () => {
  const [unconditional, conditional] = ['unconditional', 'conditional'].map((half) =>
    golden.out(`step.0.epsilon_${half}`),
  )
  const guided = unconditional!.data.map((number, index) => number + 7.5 * (conditional!.data[index]! - number))
  const latents = input('latents')
  let fed: Readonly<Record<string, HostTensor>> = {}
  const first = await denoise(
    (feeds) => {
      fed = feeds
      return network(feeds)
    },
    moma,
    settings,
    initialState(latents),
  ).next()
  const { epsilon } = await step.run(fed)
  expect(relativeError(epsilon, floatTensor(unconditional!.shape, guided))).toBeLessThan(networkTolerance)
  expect(relativeError(first.value!.mask, golden.out('step.0.mask'))).toBeLessThan(networkTolerance)
})

test('fifty steps and the decoded picture agree', async () => {
  const recorded = [0, 1, 2, 3, 10, 25, 49]
  let last: FloatTensor | undefined
  for await (const state of denoise(network, moma, settings, initialState(input('latents')))) {
    last = state.latents
    if (!recorded.includes(state.step - 1)) continue
    expect(relativeError(state.latents, golden.out(`step.${state.step - 1}.latents`))).toBeLessThan(1e-3)
    expect(relativeError(state.mask, golden.out(`step.${state.step - 1}.mask`))).toBeLessThan(1e-3)
  }
  const unscaled = floatTensor(
    last!.shape,
    last!.data.map((number) => number / vae.scalingFactor),
  )
  const { pictures } = await runGraph(vaeDecoderGraph(vaeWeights(), vae), { latents: unscaled })
  // Fifty steps through masks with a threshold: rounding grows on the way.
  expect(relativeError(pictures, golden.out('image'))).toBeLessThan(1e-3)
}, 60_000)

test('another run goes on from any step to the same bytes', async () => {
  const six = { ...settings, steps: 6, sampler: 'unipc' as const }
  const states = await Array.fromAsync(denoise(network, moma, six, initialState(input('latents'))))
  for (const cut of [0, 2, 4]) {
    const rest = await Array.fromAsync(denoise(network, moma, six, structuredClone(states[cut]!)))
    expect(rest.length).toBe(5 - cut)
    expect(Buffer.from(rest.at(-1)!.latents.data.buffer).equals(Buffer.from(states.at(-1)!.latents.data.buffer))).toBe(
      true,
    )
  }
})

test('an aborted run stops between two steps', async () => {
  const stop = new AbortController()
  const run = denoise(network, moma, settings, initialState(input('latents')), stop.signal)
  await run.next()
  stop.abort()
  await expect(run.next()).rejects.toThrow('aborted')
})

describe('baselines and ablations, out of the same graphs', () => {
  test.each([
    ['full', {}],
    ['strength', { strength: 0.5 }],
    ['no_subject', { strength: 0 }],
    ['no_mask', { masking: false }],
  ])('%s', async (variant, changed) => {
    expect(relativeError(await lastLatents(moma, changed), golden.out(`variant.${variant}.latents`))).toBeLessThan(
      networkTolerance,
    )
  })

  test('two images of one request', async () => {
    expect(
      relativeError(await lastLatents(moma, {}, input('two.latents')), golden.out('variant.two.latents')),
    ).toBeLessThan(networkTolerance)
  })

  test('IP-Adapter', async () => {
    const weights = goldenWeights('ip-adapter/ip-adapter_sd15.bin')
    const ip = await conditions(golden.out('variant.ip_adapter.embedding'), weights, 'image_proj', 'ip_adapter')
    const latents = await lastLatents(ip, { strength: 0, contextScale: 0.6, masking: false })
    expect(relativeError(latents, golden.out('variant.ip_adapter.latents'))).toBeLessThan(networkTolerance)
  })
})
