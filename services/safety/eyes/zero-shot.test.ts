import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readClipTextConfig } from '../../denoise/clip-text.ts'
import type { RgbImage } from '../../lib/images/image.ts'
import { createNetworkPool } from '../../lib/runtime/pool.ts'
import type { ClipTokenizer } from '../../lib/tokenizers/clip.ts'
import { readClipVisionConfig } from '../../vision/clip-vision.ts'
import { imageEmbeddingRecipe } from '../../vision/networks.ts'
import { createZeroShot } from './zero-shot.ts'
import { textEmbeddingRecipe } from './zero-shot-graphs.ts'

const pool = createNetworkPool({ provider: 'cpu', threads: 1, memoryBytes: 2 ** 28 })
afterAll(() => pool.dispose())

// A whole CLIP model of random numbers: what it says means nothing, but follows from picture and sentences.
const data = join(import.meta.dirname, '../../../test/parity/data/clip-vision')
const config = JSON.parse(readFileSync(join(data, 'config.json'), 'utf8'))
const weights = { files: [join(data, 'pytorch_model.bin')], prefix: '', compute: 'float32' } as const
const vision = readClipVisionConfig(config, 'clip')

/** Letters as tokens; 39 ends a text. */
const tokenizer: ClipTokenizer = {
  length: 8,
  bosId: 1,
  eosId: 39,
  padId: 0,
  tokenIds: (text) => [...text].map((letter) => 2 + (letter.codePointAt(0)! % 30)),
  endsWord: () => true,
  encode(text) {
    const ids = [1, ...this.tokenIds(text).slice(0, 6), 39]
    return { ids: [...ids, ...Array<number>(8 - ids.length).fill(0)], tokenCount: ids.length - 2, truncated: null }
  },
}
const networks = {
  image: imageEmbeddingRecipe(weights, vision, 16),
  imageSizePx: vision.imageSize,
  text: textEmbeddingRecipe(weights, readClipTextConfig(config.text_config, 'clip'), 16),
  tokenizer,
  personBias: 0,
  judgesPictures: true,
}
const picture: RgbImage = {
  widthPx: 40,
  heightPx: 20,
  pixels: Uint8Array.from({ length: 2400 }, (_, i) => (i * 37) % 256),
  alpha: null,
}
const judge = (person: string[], lookAlikes: string[], things: string[], scale = 10, personBias = 0) =>
  createZeroShot(pool, { ...networks, personBias }, { scale, person, lookAlikes, things }).judge(picture)

test('shares are a softmax over all sentences, whatever their order', async () => {
  const one = await judge(['man'], ['doll'], ['dog', 'cat'])
  const other = await judge(['dog', 'cat'], ['doll'], ['man'])
  expect(one.lookAlike).toBeCloseTo(other.lookAlike, 6)
  expect(one.person + one.lookAlike + other.person).toBeCloseTo(1, 6)
  expect(one.person).toBeGreaterThan(0)
})

test('the same sentence for person and thing is even, and the scale sharpens the rest', async () => {
  expect((await judge(['dog'], ['doll'], ['dog'], 1)).person).toBeCloseTo(
    (1 - (await judge(['dog'], ['doll'], ['dog'], 1)).lookAlike) / 2,
    6,
  )
  const [soft, sharp] = [await judge(['man'], ['doll'], ['dog'], 1), await judge(['man'], ['doll'], ['dog'], 100)]
  const largest = (shares: { person: number; lookAlike: number }) =>
    Math.max(shares.person, shares.lookAlike, 1 - shares.person - shares.lookAlike)
  expect(largest(sharp)).toBeGreaterThan(largest(soft))
})

test('the bias is added to the log odds of a person', async () => {
  const logit = (share: number) => Math.log(share / (1 - share))
  const [plain, biased] = [await judge(['man'], ['doll'], ['dog']), await judge(['man'], ['doll'], ['dog'], 10, 1.5)]
  expect(logit(biased.person) - logit(plain.person)).toBeCloseTo(1.5, 5)
})
