import { attend, transformer, transformerBlock, type UNetAttention } from '../../services/denoise/transformer.ts'
import { attentionLayers, readUNetConfig, unet } from '../../services/denoise/unet.ts'
import { build } from '../../services/lib/graph/build.ts'
import { silu } from '../../services/lib/graph/ops/elementwise.ts'
import { input, type Value } from '../../services/lib/graph/value.ts'
import { conv2d, upsampleConv2d } from '../../services/lib/nn/convolution.ts'
import { timeEmbedding } from '../../services/lib/nn/embedding.ts'
import { resnet } from '../../services/lib/nn/resnet.ts'
import { type FloatTensor, floatTensor, type HostTensor } from '../../services/lib/runtime/tensor.ts'
import { goldenWeights, networkTolerance, readGolden, readJson, relativeError, runGraph } from './golden.ts'

const golden = readGolden('unet')
const config = readUNetConfig(golden.config, 'unet')
const weights = () => goldenWeights('unet/diffusion_pytorch_model.safetensors')
const norm = { groups: config.groups, epsilon: 1e-5 }
const paths = readJson('unet/blocks.json') as Record<string, string>

/** Stable Diffusion as it was published: every block attends to itself, then to the text. */
function textOnly(text: Value): UNetAttention {
  return {
    self: (w, x, layer) => attend(w, x, x, layer),
    cross: (w, x, layer) => attend(w, x, text, layer),
  }
}

function plainUNet(w = weights()) {
  const latents = input('latents', 'float32', ['batch', 4, '8*height', '8*width'])
  const timestep = input('timestep', 'float32', [1])
  const text = input('text', 'float32', ['batch', 'tokens', config.textChannels])
  return build('unet', [latents, timestep, text], { epsilon: unet(w, latents, timestep, textOnly(text), config) })
}

/** Timesteps are whole numbers in diffusers and float32 in the graphs. */
function asFloat({ shape, data }: HostTensor): FloatTensor {
  return floatTensor(shape, Array.from(data, Number))
}

test('the whole UNet agrees with diffusers and uses every tensor', async () => {
  const w = weights()
  const graph = plainUNet(w)
  w.finish()
  const feeds = { latents: golden.in('latents'), timestep: asFloat(golden.in('timestep')), text: golden.in('text') }
  expect(relativeError((await runGraph(graph, feeds)).epsilon, golden.out('epsilon'))).toBeLessThan(networkTolerance)
})

test('latents wider than high', async () => {
  const feeds = {
    latents: golden.in('wide.latents'),
    timestep: asFloat(golden.in('wide.timestep')),
    text: golden.in('wide.text'),
  }
  expect(relativeError((await runGraph(plainUNet(), feeds)).epsilon, golden.out('wide.epsilon'))).toBeLessThan(
    networkTolerance,
  )
})

describe('blocks', () => {
  const layers = attentionLayers(config)
  const run = async (
    name: string,
    make: (x: Value, extra: Value) => Value,
    extra?: { name: string; shape: (string | number)[] },
  ) => {
    const fed = golden.in(`${name}.x`)
    const rank3 = fed.shape.length === 3
    const x = input(
      'x',
      'float32',
      rank3 ? ['batch', 'tokens', fed.shape[2]!] : ['batch', fed.shape[1]!, '2*height', '2*width'],
    )
    const second = extra ? input(extra.name, 'float32', extra.shape) : x
    const graph = build(name, extra ? [x, second] : [x], { y: make(x, second) })
    const { y } = await runGraph(graph, {
      x: fed,
      ...(extra ? { [extra.name]: golden.in(`${name}.${extra.name}`) } : {}),
    })
    return relativeError(y, golden.out(name))
  }
  const w = (name: string) => weights().at(paths[name]!)
  const text = { name: 'encoder_hidden_states', shape: ['batch', 'words', config.textChannels] }
  const time = { name: 'temb', shape: ['batch', 4 * config.channels[0]!] }
  const middleLayer = layers.down[1]![0]!

  test('time embedding', async () => {
    const timestep = input('timestep', 'float32', ['batch'])
    const graph = build('time', [timestep], {
      y: timeEmbedding(weights().at('time_embedding'), timestep, config.channels[0]!),
    })
    const { y } = await runGraph(graph, { timestep: asFloat(golden.in('time_embedding.timesteps')) })
    expect(relativeError(y, golden.out('time_embedding'))).toBeLessThan(networkTolerance)
  })

  test.each(['resnet_plain', 'resnet_shortcut'])('%s', async (name) => {
    const out = golden.out(name).shape[1]!
    // The reference's blocks each apply the SiLU to the time embedding that ours share.
    expect(await run(name, (x, temb) => resnet(w(name), x, silu(temb), out, norm), time)).toBeLessThan(networkTolerance)
  })

  test('transformer block', async () => {
    const make = (x: Value, states: Value) => transformerBlock(w('transformer_block'), x, textOnly(states), middleLayer)
    expect(await run('transformer_block', make, text)).toBeLessThan(networkTolerance)
  })

  test('transformer', async () => {
    const make = (x: Value, states: Value) =>
      transformer(w('transformer'), x, textOnly(states), middleLayer, config.groups)
    expect(await run('transformer', make, text)).toBeLessThan(networkTolerance)
  })

  test('downsample and upsample', async () => {
    const [down, up] = [golden.out('downsample').shape[1]!, golden.out('upsample').shape[1]!]
    const halved = (x: Value) => conv2d(w('downsample').at('conv'), x, { out: down, kernel: 3, stride: 2, pad: 1 })
    const grown = (x: Value) => upsampleConv2d(w('upsample').at('conv'), x, up)
    expect(await run('downsample', halved)).toBeLessThan(networkTolerance)
    expect(await run('upsample', grown)).toBeLessThan(networkTolerance)
  })
})
