import { build } from '../../services/lib/graph/build.ts'
import { input } from '../../services/lib/graph/value.ts'
import { clipLayer } from '../../services/lib/nn/clip.ts'
import {
  clipVisionUnused,
  imageEmbeddingGraph,
  patchFeaturesGraph,
  readClipVisionConfig,
} from '../../services/vision/clip-vision.ts'
import { goldenWeights, networkTolerance, readGolden, relativeError, runGraph } from './golden.ts'

test("LLaVA's patch features agree with transformers, out of a file of the whole CLIP model", async () => {
  const golden = readGolden('clip-vision')
  const w = goldenWeights('clip-vision/pytorch_model.bin')
  const graph = patchFeaturesGraph(w, readClipVisionConfig(golden.config, 'clip-vision'))
  w.finish(clipVisionUnused)
  const { features } = await runGraph(graph, { pixels: golden.in('pixels') })
  expect(relativeError(features, golden.out('features'))).toBeLessThan(networkTolerance)
})

test("ViT-H's image embedding agrees with transformers", async () => {
  const golden = readGolden('clip-vision-projection')
  const config = readClipVisionConfig(golden.config, 'clip-vision-projection')
  const w = goldenWeights('clip-vision-projection/model.safetensors')
  const expected = golden.out('image_embeds')
  const graph = imageEmbeddingGraph(w, config, expected.shape[1]!)
  w.finish([/position_ids$/])
  const { embedding } = await runGraph(graph, { pixels: golden.in('pixels') })
  expect(relativeError(embedding, expected)).toBeLessThan(networkTolerance)
})

test.each([
  ['clip-vision', 'pytorch_model.bin'],
  ['clip-vision-projection', 'model.safetensors'],
])('one layer of %s agrees with transformers', async (name, file) => {
  const golden = readGolden(name)
  const config = readClipVisionConfig(golden.config, name)
  const x = input('x', 'float32', ['batch', 'tokens', config.width])
  const w = goldenWeights(`${name}/${file}`).at('vision_model.encoder.layers.1')
  const { y } = await runGraph(build('layer', [x], { y: clipLayer(w, x, config, false) }), { x: golden.in('layer.x') })
  expect(relativeError(y, golden.out('layer'))).toBeLessThan(networkTolerance)
})
