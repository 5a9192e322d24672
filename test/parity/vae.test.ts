import { readVaeConfig, vaeDecoderGraph, vaeEncoderGraph } from '../../services/denoise/vae.ts'
import { build } from '../../services/lib/graph/build.ts'
import { input, type Value } from '../../services/lib/graph/value.ts'
import { conv2d, upsampleConv2d } from '../../services/lib/nn/convolution.ts'
import { pixelAttention } from '../../services/lib/nn/pixel-attention.ts'
import { resnet } from '../../services/lib/nn/resnet.ts'
import { floatTensor } from '../../services/lib/runtime/tensor.ts'
import type { Weights } from '../../services/lib/weights/weights.ts'
import { goldenWeights, networkTolerance, readGolden, readJson, relativeError, runGraph } from './golden.ts'

// Published checkpoints spell the attention's projections in two ways.
describe.each(['vae', 'vae-current-names'])('%s', (name) => {
  const golden = readGolden(name)
  const config = readVaeConfig(golden.config, name)
  const weights = () => goldenWeights(`${name}/diffusion_pytorch_model.safetensors`)

  test('encoder and decoder agree with diffusers and use every tensor', async () => {
    const w = weights()
    const [encoder, decoder] = [vaeEncoderGraph(w, config), vaeDecoderGraph(w, config)]
    w.finish()
    const { mean, log_variance: logVariance } = await runGraph(encoder, { pictures: golden.in('pictures') })
    expect(relativeError(mean, golden.out('mean'))).toBeLessThan(networkTolerance)
    expect(relativeError(logVariance, golden.out('log_variance'))).toBeLessThan(networkTolerance)
    const { pictures } = await runGraph(decoder, { latents: golden.in('latents') })
    expect(relativeError(pictures, golden.out('decoded'))).toBeLessThan(networkTolerance)
  })

  test('a picture wider than high is encoded too', async () => {
    const results = await runGraph(vaeEncoderGraph(weights(), config), { pictures: golden.in('wide.pictures') })
    const moments = floatTensor(golden.out('wide.moments').shape, [
      ...results.mean!.data,
      ...results.log_variance!.data,
    ])
    expect(relativeError(moments, golden.out('wide.moments'))).toBeLessThan(networkTolerance)
  })
})

describe('blocks', () => {
  const golden = readGolden('vae')
  const config = readVaeConfig(golden.config, 'vae')
  const norm = { groups: config.groups, epsilon: 1e-6 }
  const paths = readJson('vae/blocks.json') as Record<string, string>
  const blocks: Record<string, (w: Weights, x: Value, channels: number) => Value> = {
    resnet_plain: (w, x, channels) => resnet(w, x, null, channels, norm),
    resnet_shortcut: (w, x, channels) => resnet(w, x, null, channels, norm),
    mid_attention: (w, x) => pixelAttention(w, x, 1, norm),
    downsample: (w, x, out) => conv2d(w.at('conv'), x, { out, kernel: 3, stride: 2, pad: [0, 0, 1, 1] }),
    upsample: (w, x, out) => upsampleConv2d(w.at('conv'), x, out),
  }

  test.each(Object.keys(blocks))('%s agrees with diffusers', async (name) => {
    const fed = golden.in(`${name}.x`)
    const expected = golden.out(name)
    const x = input('x', 'float32', ['batch', fed.shape[1]!, '2*height', '2*width'])
    const w = goldenWeights('vae/diffusion_pytorch_model.safetensors').at(paths[name]!)
    const { y } = await runGraph(build(name, [x], { y: blocks[name]!(w, x, expected.shape[1]!) }), { x: fed })
    expect(relativeError(y, expected)).toBeLessThan(networkTolerance)
  })
})
