import sharp from 'sharp'
import { insertTexts, readTexts } from './png-text.ts'
import { solid } from './test-images.ts'

test('texts come back, and the picture is untouched', async () => {
  const png = await solid(1, 2, 3).png().toBuffer()
  const texts = { seed: '7', 'a long keyword': 'Größe 中 😀\nsecond line', empty: '' }
  const labelled = insertTexts(png, texts)
  expect(readTexts(labelled)).toEqual(texts)
  expect(await sharp(labelled, { failOn: 'warning' }).raw().toBuffer()).toEqual(await sharp(png).raw().toBuffer())
  // libpng reads the chunks too.
  expect((await sharp(labelled).metadata()).comments).toContainEqual({ keyword: 'seed', text: '7' })
})

test('what is no PNG, and texts that a PNG cannot hold', async () => {
  const png = await solid(1, 2, 3).png().toBuffer()
  expect(() => insertTexts(Buffer.from('no png'), {})).toThrow('PNG: the bytes do not begin with a PNG signature')
  expect(() => insertTexts(png, { ' a': '' })).toThrow("PNG keyword ' a': must be 1 to 79 printable ASCII characters")
  expect(() => insertTexts(png, { ['k'.repeat(80)]: '' })).toThrow('must be 1 to 79')
  expect(() => insertTexts(png, { key: 'a\0b' })).toThrow("PNG text 'key': must not hold a zero byte")
})

test('a file that was changed or cut', async () => {
  const labelled = Buffer.from(insertTexts(await solid(1, 2, 3).png().toBuffer(), { seed: '7' }))
  expect(() => readTexts(labelled.subarray(0, -3))).toThrow(/^PNG: .*cut short/)
  labelled[labelled.indexOf('seed')] = 0x53
  expect(() => readTexts(labelled)).toThrow('PNG: the iTXt chunk at byte 33 has a wrong checksum')
})
