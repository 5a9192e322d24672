import { decodeMask, maskFromPlane, subjectShare } from './mask.ts'
import { asSharp, fromPixels, solid, testImage, testPlane } from './test-images.ts'

const size = { widthPx: 64, heightPx: 48 }
const inDisc = (x: number, y: number) => (x - 30) ** 2 + (y - 20) ** 2 < 15 ** 2
const disc = testPlane(size, inDisc)

test('a white disc on black, at its own size and at another', async () => {
  const file = await fromPixels(size, 1, (x, y) => (inDisc(x, y) ? [255] : [0]))
    .png()
    .toBuffer()
  expect(await decodeMask(file, size, size)).toEqual(disc)
  const doubled = await decodeMask(file, { widthPx: 4000, heightPx: 3000 }, { widthPx: 128, heightPx: 128 })
  expect([doubled.widthPx, doubled.heightPx]).toEqual([128, 128])
  expect(doubled.pixels[40 * 128 + 60]).toBe(255)
  expect(subjectShare(doubled)).toBeCloseTo(subjectShare(disc), 1)
})

test('levels from 128 on are subject, so that the ringing of a JPEG is not', async () => {
  const steps = await fromPixels(size, 1, (x) => [x < 32 ? 127 : 128])
    .png()
    .toBuffer()
  expect(await decodeMask(steps, size, size)).toEqual(testPlane(size, (x) => x >= 32))
  const jpeg = await fromPixels(size, 1, (x, y) => (inDisc(x, y) ? [255] : [0]))
    .jpeg({ quality: 40 })
    .toBuffer()
  const mask = await decodeMask(jpeg, size, size)
  const differing = mask.pixels.filter((pixel, i) => pixel !== disc.pixels[i]).length
  expect(differing).toBeLessThan(20)
})

describe('transparency', () => {
  test('alpha alone: one colour everywhere that is visible', async () => {
    for (const level of [0, 255]) {
      const file = await fromPixels(size, 4, (x, y) => [level, level, level, inDisc(x, y) ? 255 : 0])
        .png()
        .toBuffer()
      expect(await decodeMask(file, size, size)).toEqual(disc)
    }
  })

  test('luminance where both differ, transparent pixels being background', async () => {
    const file = await fromPixels(size, 4, (x, y) => {
      if (y >= 40) return [255, 255, 255, 0]
      return inDisc(x, y) ? [255, 255, 255, 255] : [0, 0, 0, 255]
    })
      .png()
      .toBuffer()
    expect(await decodeMask(file, size, size)).toEqual(disc)
  })
})

describe('refused', () => {
  test('a mask without subject or without background, with its share', async () => {
    await expect(
      decodeMask(await solid(0, 0, 0).png().toBuffer(), { widthPx: 32, heightPx: 24 }, size),
    ).rejects.toThrow(
      "mask: no pixel is subject (0 % are white), the subject's share must be more than 0 % and less than 100 %",
    )
    await expect(
      decodeMask(await solid(255, 255, 255).png().toBuffer(), { widthPx: 32, heightPx: 24 }, size),
    ).rejects.toThrow('mask: every pixel is subject (100 % are white)')
  })

  test('a subject that vanishes at the working size', async () => {
    const speck = await fromPixels(size, 1, (x, y) => (x === 33 && y === 21 ? [255] : [0]))
      .png()
      .toBuffer()
    await expect(decodeMask(speck, size, { widthPx: 16, heightPx: 16 })).rejects.toThrow('mask: no pixel is subject')
    expect(subjectShare(await decodeMask(speck, size, size))).toBe(1 / (64 * 48))
  })

  test('another ratio of sides than the photo, beyond 2 %', async () => {
    const file = await asSharp(testImage(64, 48)).png().toBuffer()
    await expect(decodeMask(file, { widthPx: 640, heightPx: 640 }, size)).rejects.toThrow(
      'mask: 64 × 48 px (1.33 : 1) for a photo of 640 × 640 px (1.00 : 1), the ratio of width to height may differ by 2 %',
    )
    await expect(decodeMask(file, { widthPx: 640, heightPx: 468 }, size)).rejects.toThrow('may differ by 2 %')
    expect((await decodeMask(file, { widthPx: 640, heightPx: 473 }, size)).widthPx).toBe(64)
  })

  test('a mask that is no picture', async () => {
    await expect(decodeMask(Buffer.from('no mask'), size, size)).rejects.toThrow(/^mask: the file is text/)
  })
})

test('a plane becomes a mask: thresholded, at the working size, checked', () => {
  const soft = { ...size, pixels: disc.pixels.map((pixel) => (pixel === 255 ? 130 : 90)) }
  expect(maskFromPlane(soft, size)).toEqual(disc)
  expect(maskFromPlane(soft, { widthPx: 32, heightPx: 24 })).toEqual(
    testPlane({ widthPx: 32, heightPx: 24 }, (x, y) => inDisc(2 * x, 2 * y)),
  )
  const opaque = { ...size, pixels: new Uint8Array(64 * 48).fill(255) }
  expect(() => maskFromPlane(opaque, size, 'alpha of the image')).toThrow(/^alpha of the image: every pixel is subject/)
})
