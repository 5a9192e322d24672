import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { contextGraph, llavaUnused } from '../../services/context/context-graph.ts'
import { llamaLastState, llamaLayer, readLlamaConfig } from '../../services/context/llama.ts'
import { mapping } from '../../services/context/mapping.ts'
import { projector } from '../../services/context/projector.ts'
import { imageProjection } from '../../services/denoise/image-projection.ts'
import { build } from '../../services/lib/graph/build.ts'
import { input, type Value } from '../../services/lib/graph/value.ts'
import { rotaryTables } from '../../services/lib/nn/embedding.ts'
import { type FloatTensor, floatTensor, type HostTensor } from '../../services/lib/runtime/tensor.ts'
import { openCheckpoint, readTensor } from '../../services/lib/weights/checkpoint.ts'
import { dequantizeInt4, writeInt4Checkpoint } from '../../services/lib/weights/int4.ts'
import { Weights } from '../../services/lib/weights/weights.ts'
import { writeSafetensors } from '../../services/lib/weights/write-safetensors.ts'
import { dataPath, goldenWeights, networkTolerance, readGolden, relativeError, runGraph } from './golden.ts'

const golden = readGolden('llava')
const adapters = readGolden('moma-adapters')
const config = readLlamaConfig(golden.config, 'llava')
const llava = () => goldenWeights('llava/pytorch_model.bin.index.json')
const moma = () => goldenWeights('moma-adapters/attn_adapters_projectors.th')

/** The last token's row of [B, T, C] → [B, 1, C]. */
function lastRows({ shape, data }: FloatTensor): FloatTensor {
  const [batch, tokens, width] = shape as [number, number, number]
  const rows = Array.from({ length: batch }, (_, index) =>
    data.slice(((index + 1) * tokens - 1) * width, (index + 1) * tokens * width),
  )
  return floatTensor(
    [batch, 1, width],
    rows.flatMap((row) => [...row]),
  )
}

test('the projector agrees with its reference', async () => {
  const x = input('x', 'float32', ['batch', 'patches', 32])
  const graph = build('projector', [x], { y: projector(llava().at('model.mm_projector'), x, config.width) })
  const { y } = await runGraph(graph, { x: golden.in('features') })
  expect(relativeError(y, golden.out('projected'))).toBeLessThan(networkTolerance)
})

test('one decoder layer agrees with transformers', async () => {
  const x = input('x', 'float32', ['batch', 'tokens', config.width])
  const rotation = rotaryTables(x, config.width / config.heads, config.ropeTheta)
  const graph = build('layer', [x], { y: llamaLayer(llava().at('model.layers.1'), x, rotation, config) })
  const { y } = await runGraph(graph, { x: golden.in('layer.x') })
  expect(relativeError(y, golden.out('layer'))).toBeLessThan(networkTolerance)
})

test("the decoder's last state agrees with transformers, which computes all of them", async () => {
  const x = input('x', 'float32', ['batch', 'tokens', config.width])
  const graph = build('decoder', [x], { y: llamaLastState(llava().at('model'), x, config) })
  const { y } = await runGraph(graph, { x: golden.out('inputs_embeds') })
  expect(relativeError(y, lastRows(golden.out('last_hidden_state')))).toBeLessThan(networkTolerance)
})

test.each(['gated', 'linear'] as const)('the %s mapping agrees with its reference', async (kind) => {
  const x = input('x', 'float32', ['batch', config.width])
  const w =
    kind === 'gated'
      ? moma().at('llm_mapping.mapping')
      : goldenWeights('moma-adapters/linear-mapping.safetensors').at('mapping')
  const expected = adapters.out(`context_embedding.${kind}`)
  const { y } = await runGraph(build('mapping', [x], { y: mapping(w, x, kind, expected.shape[1]!) }), {
    x: adapters.in('hidden_state'),
  })
  expect(relativeError(y, expected)).toBeLessThan(networkTolerance)
})

test.each([
  ['moma-adapters', 'attn_adapters_projectors.th', 'projectors'],
  ['ip-adapter', 'ip-adapter_sd15.bin', 'image_proj'],
])('the image projection of %s agrees with its reference', async (name, file, scope) => {
  const { in: fed, out } = readGolden(name)
  const [, , channels] = out('context_tokens').shape
  const x = input('x', 'float32', ['batch', fed('embedding').shape[1]!])
  const graph = build('projection', [x], {
    y: imageProjection(goldenWeights(`${name}/${file}`).at(scope), x, channels!),
  })
  const { y } = await runGraph(graph, { x: fed('embedding') })
  expect(relativeError(y, out('context_tokens'))).toBeLessThan(networkTolerance)
})

describe('the whole context network', () => {
  const whole = { ...config, featureChannels: 32, mapping: 'gated', embeddingChannels: 32 } as const
  const graphOf = (w: Weights) => contextGraph(w, moma().at('llm_mapping.mapping'), whole)
  const feeds = {
    features: golden.in('features'),
    ids_before: golden.in('ids_before'),
    ids_after: golden.in('ids_after'),
  }

  test('agrees with the mapping of the last state, and uses every tensor', async () => {
    const w = llava()
    const graph = graphOf(w)
    w.finish(llavaUnused)
    const { context_embedding: embedding } = await runGraph(graph, feeds)
    const x = input('x', 'float32', ['batch', 1, config.width])
    const mapped = build('mapping', [x], { y: mapping(moma().at('llm_mapping.mapping'), x, 'gated', 32) })
    const { y } = await runGraph(mapped, { x: lastRows(golden.out('last_hidden_state')) })
    expect(relativeError(embedding, { ...y!, shape: [2, 32] })).toBeLessThan(networkTolerance)
  })
})

describe('the decoder in 4 bits, against its own dequantised weights', () => {
  let folder: string
  let packed: () => Weights
  let dequantised: () => Weights

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'moma-int4-'))
    const source = openCheckpoint(dataPath('llava/pytorch_model.bin.index.json'))
    const paths = { packed: join(folder, 'int4.safetensors'), restored: join(folder, 'restored.safetensors') }
    await writeInt4Checkpoint(source, (name) => /layers\.\d+\..*_proj\.weight$/.test(name), paths.packed)
    await restore(paths.packed, paths.restored)
    packed = () => new Weights(openCheckpoint(paths.packed))
    dequantised = () => new Weights(openCheckpoint(paths.restored))
  })

  afterAll(() => rm(folder, { recursive: true }))

  const x = input('x', 'float32', ['batch', 'tokens', config.width])
  const errorOf = async (make: (w: Weights) => Value, feed: HostTensor) => {
    const [int4, full] = [packed(), dequantised()].map((w) => build('decoder', [x], { y: make(w) }))
    expect(int4!.nodes.some(({ op }) => op === 'MatMulNBits')).toBe(true)
    expect(full!.nodes.some(({ op }) => op === 'MatMulNBits')).toBe(false)
    const { y: expected } = await runGraph(full!, { x: feed })
    return relativeError((await runGraph(int4!, { x: feed })).y, expected!)
  }

  // Accuracy level 4 rounds the activations to 8 bits, 32 at a time: half a percent of a product.
  test('one layer', async () => {
    const rotation = () => rotaryTables(x, config.width / config.heads, config.ropeTheta)
    const layer = (w: Weights) => llamaLayer(w.at('model.layers.1'), x, rotation(), config)
    expect(await errorOf(layer, golden.in('layer.x'))).toBeLessThan(1e-2)
  })

  // Random layers outweigh what they are added to, so the rounding of three of them adds up to more than trained ones'.
  test('all layers', async () => {
    expect(await errorOf((w) => llamaLastState(w.at('model'), x, config), golden.out('inputs_embeds'))).toBeLessThan(
      5e-2,
    )
  })
})

/** Writes a checkpoint in which every 4-bit weight is the float32 weight that it stands for. */
async function restore(packed: string, target: string): Promise<void> {
  const { tensors } = openCheckpoint(packed)
  const kept = [...tensors.values()].filter(({ name }) => !/\.(int4|scales)$/.test(name))
  const restored = [...tensors.values()]
    .filter(({ name }) => name.endsWith('.int4'))
    .map((entry) => {
      const [rows, blocks] = entry.shape as [number, number]
      const scales = readTensor(tensors.get(entry.name.replace(/int4$/, 'scales'))!)
      const matrix = { rows, columns: blocks * 32, codes: readTensor(entry), scales: new Float32Array(scales.buffer) }
      const values = dequantizeInt4(matrix)
      return {
        name: entry.name.replace(/\.int4$/, ''),
        dtype: 'float32' as const,
        shape: [rows, blocks * 32],
        chunks: [new Uint8Array(values.buffer)],
      }
    })
  await writeSafetensors(target, [...kept.map((entry) => ({ ...entry, chunks: [readTensor(entry)] })), ...restored])
}
