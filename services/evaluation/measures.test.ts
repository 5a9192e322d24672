import { intersectionOverUnion, measure, type PictureEmbeddings } from './measures.ts'

const along = (...numbers: number[]) => Float32Array.from(numbers, (number) => number / Math.hypot(...numbers))
const embedded = (dino: Float32Array, clip: Float32Array): PictureEmbeddings => ({ dino, clip })
const [x, y, diagonal] = [along(1, 0), along(0, 1), along(1, 1)]
const references = new Map([
  ['dog', [embedded(x, x), embedded(diagonal, y)]],
  ['cat', [embedded(y, x)]],
])
const texts = new Map([
  ['snow', x],
  ['beach', y],
])
const picture = { embeddings: embedded(x, along(3, 4)), subject: 'dog', promptKey: 'snow', maskIou: 0.5 }

test('likeness is the mean cosine to all photos, CLIP-T the cosine to the prompt', () => {
  const measures = measure(picture, references, texts)
  expect(measures.dino).toBeCloseTo((1 + Math.SQRT1_2) / 2, 6)
  expect(measures.clipI).toBeCloseTo((0.6 + 0.8) / 2, 6)
  expect(measures.clipT).toBeCloseTo(0.6, 6)
  expect(measures.maskIou).toBe(0.5)
})

test('a prompt is recognised where no other one is nearer, a thing where no other one is', () => {
  expect(measure(picture, references, texts)).toMatchObject({ promptRecognised: 0, thingRecognised: 1 })
  expect(measure({ ...picture, promptKey: 'beach' }, references, texts).promptRecognised).toBe(1)
  expect(measure({ ...picture, subject: 'cat' }, references, texts).thingRecognised).toBe(0)
  const alone = new Map([...references].slice(0, 1))
  expect(measure(picture, alone, texts).thingRecognised).toBeNull()
})

test('what can not be compared is said', () => {
  expect(() => measure({ ...picture, subject: 'bird' }, references, texts)).toThrow('subject bird has no photos')
  expect(() => measure({ ...picture, promptKey: 'moon' }, references, texts)).toThrow('prompt moon is not in the list')
})

describe('intersection over union', () => {
  const plane = (widthPx: number, levels: number[]) => ({
    widthPx,
    heightPx: levels.length / widthPx,
    pixels: Uint8Array.from(levels),
  })

  test('of a small mask and a large thing, cut at the half', () => {
    const mask = plane(2, [255, 0, 128, 127])
    const thing = plane(4, [255, 255, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255])
    // The mask is the left half, 8 pixels; the thing has 4 of them and 1 other.
    expect(intersectionOverUnion(mask, thing)).toBe(4 / 9)
  })

  test('of nothing with something is 0, of nothing with nothing unknown', () => {
    const [nothing, something] = [plane(2, [0, 0, 0, 0]), plane(2, [0, 0, 0, 255])]
    expect(intersectionOverUnion(nothing, something)).toBe(0)
    expect(intersectionOverUnion(nothing, nothing)).toBeNull()
  })
})
