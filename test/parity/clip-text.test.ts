import { clipBuffers, clipTextGraph, readClipTextConfig } from '../../services/denoise/clip-text.ts'
import { build } from '../../services/lib/graph/build.ts'
import { input } from '../../services/lib/graph/value.ts'
import { clipLayer } from '../../services/lib/nn/clip.ts'
import { goldenWeights, networkTolerance, readGolden, relativeError, runGraph } from './golden.ts'

const golden = readGolden('clip-text')
const config = readClipTextConfig(golden.config, 'clip-text')

test('the text encoder agrees with transformers', async () => {
  const w = goldenWeights('clip-text/model.safetensors')
  const graph = clipTextGraph(w, config)
  w.finish(clipBuffers)
  const { states } = await runGraph(graph, { ids: golden.in('input_ids') })
  expect(relativeError(states, golden.out('last_hidden_state'))).toBeLessThan(networkTolerance)
})

test('one causal layer agrees with transformers', async () => {
  const x = input('x', 'float32', ['batch', 'tokens', config.width])
  const w = goldenWeights('clip-text/model.safetensors').at('text_model.encoder.layers.1')
  const graph = build('layer', [x], { y: clipLayer(w, x, config, true) })
  const { y } = await runGraph(graph, { x: golden.in('layer.x') })
  expect(relativeError(y, golden.out('layer'))).toBeLessThan(networkTolerance)
})
