import { readSegmentationConfig, segmentationGraph } from '../../services/vision/segmentation.ts'
import { goldenWeights, networkTolerance, readGolden, relativeError, runGraph } from './golden.ts'

test.each([
  ['segmentation', { heads: 2 }],
  ['segmentation-no-attention', 'resnets'],
  ['segmentation-no-middle', 'nothing'],
])('%s agrees with diffusers and uses every tensor', async (name, middle) => {
  const golden = readGolden(name)
  const config = readSegmentationConfig(golden.config, name)
  expect(config.middle).toEqual(middle)
  const w = goldenWeights(`${name}/diffusion_pytorch_model.safetensors`)
  const graph = segmentationGraph(w, config)
  w.finish()
  const { subject } = await runGraph(graph, { pictures: golden.in('pictures') })
  expect(relativeError(subject, golden.out('subject'))).toBeLessThan(networkTolerance)
})

test.each([
  ['down_block_types', ['DownBlock2D', 'AttnDownBlock2D', 'DownBlock2D'], '"DownBlock2D" alone'],
  ['out_channels', 3, '1 alone'],
  ['resnet_time_scale_shift', 'scale_shift', '"default" alone'],
  ['add_attention', 'yes', 'true or false'],
])('a config whose %s this network has no form of is refused', (field, value, allowed) => {
  const config = { ...(readGolden('segmentation').config as object), [field]: value }
  expect(() => readSegmentationConfig(config, 'config.json')).toThrow(
    `config.json: ${field} is ${JSON.stringify(value)}, allowed is ${allowed}`,
  )
})
