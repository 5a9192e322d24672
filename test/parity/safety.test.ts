import { readClipTextConfig } from '../../services/denoise/clip-text.ts'
import { countingConcepts } from '../../services/safety/eyes/safety-checker.ts'
import { safetyCheckerGraph, safetyCheckerUnused } from '../../services/safety/eyes/safety-checker-graph.ts'
import { textEmbeddingGraph } from '../../services/safety/eyes/zero-shot-graphs.ts'
import { readClipVisionConfig } from '../../services/vision/clip-vision.ts'
import { goldenWeights, networkTolerance, readGolden, readJson, relativeError, runGraph } from './golden.ts'

describe('the Stable Diffusion safety checker', () => {
  const golden = readGolden('safety-checker')

  test('its cosines and margins agree with diffusers, out of a file with the published names', async () => {
    const w = goldenWeights('safety-checker/pytorch_model.bin')
    const graph = safetyCheckerGraph(w, readClipVisionConfig(golden.config, 'safety-checker'), 16)
    w.finish(safetyCheckerUnused)
    const results = await runGraph(graph, { pixels: golden.in('pixels') })
    for (const name of ['special', 'concepts', 'specialMargins', 'conceptMargins']) {
      expect(relativeError(results[name], golden.out(name))).toBeLessThan(networkTolerance)
    }
  })

  test('decides as diffusers does, with what special concepts add', () => {
    const flagged = [...golden.out('flagged').data].map((flag) => flag === 1)
    const rows = (name: string, width: number) =>
      flagged.map((_, row) => golden.out(name).data.subarray(row * width, (row + 1) * width))
    const special = rows('specialMargins', 3)
    const decided = rows('conceptMargins', 17).map(
      (conceptMargins, row) => countingConcepts({ specialMargins: special[row]!, conceptMargins }).length > 0,
    )
    expect(decided).toEqual(flagged)
    // Without what special concepts add, one of them would pass.
    const without = rows('conceptMargins', 17).map(
      (conceptMargins) => countingConcepts({ specialMargins: [], conceptMargins }).length > 0,
    )
    expect(without).not.toEqual(flagged)
  })
})

test("CLIP's text embedding agrees with transformers", async () => {
  const golden = readGolden('zero-shot-text')
  const config = readJson('clip-vision/config.json') as { readonly text_config: unknown }
  const w = goldenWeights('clip-vision/pytorch_model.bin')
  const graph = textEmbeddingGraph(w, readClipTextConfig(config.text_config, 'clip-vision'), 16)
  const { embedding } = await runGraph(graph, { ids: golden.in('ids'), eos: golden.in('eos') })
  expect(relativeError(embedding, golden.out('embedding'))).toBeLessThan(networkTolerance)
})
