import { readTextEmbeddingConfig, textEmbeddingGraph } from '../../services/evaluation/text-embedding.ts'
import { floatTensor } from '../../services/lib/runtime/tensor.ts'
import { readVitConfig, vitGraph, vitUnused } from '../../services/vision/vit.ts'
import { goldenWeights, networkTolerance, readGolden, relativeError, runGraph } from './golden.ts'

test("DINO's class token agrees with transformers", async () => {
  const golden = readGolden('vit')
  const w = goldenWeights('vit/model.safetensors')
  const graph = vitGraph(w, readVitConfig(golden.config, 'vit'))
  w.finish(vitUnused)
  const { embedding } = await runGraph(graph, { pixels: golden.in('pixels') })
  expect(relativeError(embedding, golden.out('embedding'))).toBeLessThan(networkTolerance)
})

test("CLIP's text embedding agrees with transformers, for a text that is cut and one with padding", async () => {
  const golden = readGolden('clip-text-projection')
  const w = goldenWeights('clip-text-projection/model.safetensors')
  const graph = textEmbeddingGraph(w, readTextEmbeddingConfig(golden.config, 'clip-text-projection'))
  w.finish()
  const ids = golden.in('input_ids')
  const end = floatTensor(ids.shape)
  end.data[76] = 1
  end.data[77 + 10] = 1
  const { embedding } = await runGraph(graph, { ids, end })
  expect(relativeError(embedding, golden.out('text_embeds'))).toBeLessThan(networkTolerance)
})

test('the text half is read out of a config of the whole model', () => {
  const config = readTextEmbeddingConfig(readGolden('clip-vision').config, 'clip-vision')
  expect(config).toMatchObject({ vocabulary: 40, tokens: 8, width: 16, projection: 16 })
})
