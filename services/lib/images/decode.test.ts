import { crc32, deflateSync } from 'node:zlib'
import sharp from 'sharp'
import { decodeImage, defaultImageLimits } from './decode.ts'
import { asSharp, fromPixels, solid, testImage } from './test-images.ts'

const photo = testImage(96, 64)

function firstPixel(image: { readonly pixels: Uint8Array }): readonly number[] {
  return [...image.pixels.subarray(0, 3)]
}

function expectNear(got: readonly number[], wanted: readonly number[], levels: number): void {
  for (const [i, value] of wanted.entries()) expect(Math.abs(got[i]! - value)).toBeLessThanOrEqual(levels)
}

describe('every format', () => {
  test('lossless files come back pixel by pixel', async () => {
    const files = await Promise.all([
      asSharp(photo).png().toBuffer(),
      asSharp(photo).png({ progressive: true }).toBuffer(),
      asSharp(photo).webp({ lossless: true }).toBuffer(),
      asSharp(photo).tiff({ compression: 'lzw' }).toBuffer(),
    ])
    for (const file of files) expect(await decodeImage(file)).toEqual(photo)
  })

  test('lossy files come back with their colours', async () => {
    const files = await Promise.all([
      solid(200, 60, 40).jpeg({ quality: 95 }).toBuffer(),
      solid(200, 60, 40).webp({ quality: 95 }).toBuffer(),
      solid(200, 60, 40).avif({ quality: 90, effort: 0 }).toBuffer(),
      solid(200, 60, 40).gif().toBuffer(),
      solid(200, 60, 40).png({ palette: true }).toBuffer(),
    ])
    for (const file of files) {
      const image = await decodeImage(file)
      expect([image.widthPx, image.heightPx, image.alpha]).toEqual([32, 24, null])
      expectNear(firstPixel(image), [200, 60, 40], 3)
    }
  })

  test.each(['gif', 'webp'] as const)('of an animated %s the first frame is taken', async (format) => {
    const frames = await Promise.all([solid(255, 0, 0).png().toBuffer(), solid(0, 0, 255).png().toBuffer()])
    const animated = sharp(frames, { join: { animated: true } })
    const file = await (format === 'gif' ? animated.gif() : animated.webp({ lossless: true })).toBuffer()
    expect((await sharp(file).metadata()).pages).toBe(2)
    const image = await decodeImage(file)
    expect([image.widthPx, image.heightPx]).toEqual([32, 24])
    expect(firstPixel(image)).toEqual([255, 0, 0])
  })
})

describe('orientation', () => {
  test('EXIF orientation 6 is turned upright', async () => {
    const lying = fromPixels({ widthPx: 32, heightPx: 24 }, 3, (x) => (x < 16 ? [255, 0, 0] : [0, 0, 255]))
    const image = await decodeImage(await lying.withMetadata({ orientation: 6 }).jpeg({ quality: 100 }).toBuffer())
    expect([image.widthPx, image.heightPx]).toEqual([24, 32])
    const pixelAt = (x: number, y: number) => [...image.pixels.subarray((y * 24 + x) * 3, (y * 24 + x) * 3 + 3)]
    expectNear(pixelAt(12, 2), [255, 0, 0], 4)
    expectNear(pixelAt(12, 29), [0, 0, 255], 4)
  })
})

describe('colour', () => {
  test('a Display P3 picture is brought to sRGB', async () => {
    const file = await solid(200, 60, 40).withIccProfile('p3').png().toBuffer()
    const stored = await sharp(file, { ignoreIcc: true }).raw().toBuffer()
    expect(Math.abs(stored[0]! - 200)).toBeGreaterThan(8)
    expectNear(firstPixel(await decodeImage(file)), [200, 60, 40], 1)
  })

  test.each([null, 'srgb', 'p3'])('16 bits become 8, with the profile %s', async (profile) => {
    const deep = solid(200, 60, 40).toColourspace('rgb16')
    const file = await (profile === null ? deep : deep.withIccProfile(profile)).png().toBuffer()
    expect((await sharp(file).metadata()).depth).toBe('ushort')
    expectNear(firstPixel(await decodeImage(file)), [200, 60, 40], 1)
  })

  test('CMYK becomes RGB', async () => {
    const file = await solid(200, 60, 40).toColourspace('cmyk').withIccProfile('cmyk').jpeg({ quality: 100 }).toBuffer()
    expect((await sharp(file).metadata()).space).toBe('cmyk')
    // The press can't print this red: its profile moves it by some levels.
    expectNear(firstPixel(await decodeImage(file)), [200, 60, 40], 15)
  })

  test.each(['b-w', 'grey16'])('%s becomes RGB', async (space) => {
    const file = await solid(77, 77, 77).toColourspace(space).png().toBuffer()
    expect((await sharp(file).metadata()).channels).toBe(1)
    expect(firstPixel(await decodeImage(file))).toEqual([77, 77, 77])
  })
})

describe('alpha', () => {
  const size = { widthPx: 32, heightPx: 24 }

  test('transparency is laid on white and kept as a plane', async () => {
    const file = await fromPixels(size, 4, (x) => [200, 60, 40, x < 16 ? 0 : x === 16 ? 128 : 255])
      .png()
      .toBuffer()
    const image = await decodeImage(file)
    expect(image.alpha?.length).toBe(32 * 24)
    expect([...image.alpha!.subarray(15, 18)]).toEqual([0, 128, 255])
    expect([...image.pixels.subarray(15 * 3, 16 * 3)]).toEqual([255, 255, 255])
    expectNear([...image.pixels.subarray(16 * 3, 17 * 3)], [227.4, 157.1, 147.1], 1)
    expect([...image.pixels.subarray(17 * 3, 18 * 3)]).toEqual([200, 60, 40])
  })

  test('an alpha channel without transparency is no mask', async () => {
    const image = await decodeImage(
      await fromPixels(size, 4, () => [200, 60, 40, 255])
        .png()
        .toBuffer(),
    )
    expect(image.alpha).toBeNull()
    expect(firstPixel(image)).toEqual([200, 60, 40])
  })

  test('grey with alpha', async () => {
    const image = await decodeImage(
      await fromPixels(size, 2, (x) => [77, x < 16 ? 0 : 255])
        .png()
        .toBuffer(),
    )
    expect(image.pixels.length).toBe(32 * 24 * 3)
    expect([...image.alpha!.subarray(15, 17)]).toEqual([0, 255])
    expect([...image.pixels.subarray(48, 51)]).toEqual([77, 77, 77])
  })
})

describe('refused', () => {
  test('what is no picture, or not one of the formats', async () => {
    await expect(
      decodeImage(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"/>')),
    ).rejects.toThrow('image: the file is SVG, allowed are jpeg, png, webp, gif, avif, tiff')
    await expect(decodeImage(Buffer.from('hello'), defaultImageLimits, 'mask')).rejects.toThrow(
      /^mask: the file is text,/,
    )
    await expect(decodeImage(new Uint8Array())).rejects.toThrow('image: the file is empty')
    const error = await decodeImage(Buffer.from('hello')).catch((e: unknown) => e)
    expect(error).toHaveProperty('name', 'ImageError')
  })

  const encoders: Readonly<Record<string, () => Promise<Buffer>>> = {
    jpeg: () => asSharp(photo).jpeg().toBuffer(),
    'progressive jpeg': () => asSharp(photo).jpeg({ progressive: true }).toBuffer(),
    png: () => asSharp(photo).png().toBuffer(),
    'interlaced png': () => asSharp(photo).png({ progressive: true }).toBuffer(),
    webp: () => asSharp(photo).webp().toBuffer(),
    'lossless webp': () => asSharp(photo).webp({ lossless: true }).toBuffer(),
    gif: () => asSharp(photo).gif().toBuffer(),
    tiff: () => asSharp(photo).tiff({ compression: 'none' }).toBuffer(),
    'lzw tiff': () => asSharp(photo).tiff({ compression: 'lzw' }).toBuffer(),
    'jpeg tiff': () => asSharp(photo).tiff({ compression: 'jpeg' }).toBuffer(),
    avif: () => asSharp(photo).avif({ effort: 0 }).toBuffer(),
  }

  test.each(Object.keys(encoders))('a %s that is cut short', async (format) => {
    const file = await encoders[format]!()
    for (const share of [0.1, 0.5, 0.9, 0.98]) {
      const cut = file.subarray(0, Math.floor(file.length * share))
      await expect(decodeImage(cut)).rejects.toThrow(/^image: the \w+ file is damaged or cut short \(.+\)$/)
    }
    expect((await decodeImage(file)).widthPx).toBe(96)
  })

  test('a PNG with a flipped bit', async () => {
    const file = Buffer.from(await asSharp(photo).png().toBuffer())
    file[Math.floor(file.length / 2)]! ^= 1
    await expect(decodeImage(file)).rejects.toThrow(/^image: the png file is damaged/)
  })

  test.each([false, true])(
    'a JPEG without the end of its data but with its last marker, progressive: %s',
    async (progressive) => {
      const file = await asSharp(photo).jpeg({ progressive }).toBuffer()
      const patched = Buffer.concat([file.subarray(0, Math.floor(file.length * 0.7)), file.subarray(-2)])
      await expect(decodeImage(patched)).rejects.toThrow(/^image: the jpeg file is damaged/)
    },
  )

  test('a tiny file that claims 100,000 × 100,000 pixels, at once and without memory', async () => {
    const file = emptyPng(100_000, 100_000)
    expect(file.length).toBeLessThan(200)
    await decodeImage(emptyPng(20_000, 20_000)).catch(() => null)
    const memoryBefore = process.memoryUsage.rss()
    const startMs = performance.now()
    await expect(decodeImage(file)).rejects.toThrow('image: 100000 × 100000 px, sides of 16 to 16384 px are allowed')
    expect(performance.now() - startMs).toBeLessThan(250)
    expect(process.memoryUsage.rss() - memoryBefore).toBeLessThan(64 * 1024 * 1024)
  })

  test('sizes and bytes beyond the limits, with the value and what is allowed', async () => {
    await expect(decodeImage(emptyPng(8000, 8000))).rejects.toThrow(
      'image: 8000 × 8000 px are 64.0 megapixels, allowed are 40.0',
    )
    await expect(decodeImage(emptyPng(15, 300))).rejects.toThrow(
      'image: 15 × 300 px, sides of 16 to 16384 px are allowed',
    )
    const file = await asSharp(photo).png().toBuffer()
    await expect(decodeImage(file, { ...defaultImageLimits, maxBytes: 1000 })).rejects.toThrow(
      `image: the file has ${file.length} bytes, allowed are 1000`,
    )
  })
})

test('quirks that phones write into intact JPEGs are no damage', async () => {
  const file = Buffer.from(await asSharp(photo).jpeg().toBuffer())
  const scan = file.indexOf(Buffer.from([0xff, 0xda]))
  // End of spectral selection, 63 in every sequential JPEG; some phones write 0.
  expect(file[scan + 12]).toBe(63)
  file[scan + 12] = 0
  expect((await decodeImage(Buffer.concat([file, Buffer.from('trailer')]))).widthPx).toBe(96)
})

/** A PNG's signature, a header with the size, and almost no data. */
function emptyPng(widthPx: number, heightPx: number): Uint8Array {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(widthPx, 0)
  header.writeUInt32BE(heightPx, 4)
  header.set([8, 2], 8)
  const chunks = [
    ['IHDR', header],
    ['IDAT', deflateSync(Buffer.alloc(100))],
    ['IEND', Buffer.alloc(0)],
  ] as const
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    ...chunks.flatMap(([type, data]) => {
      const typed = Buffer.concat([Buffer.from(type), data])
      return [uint32(data.length), typed, uint32(crc32(typed))]
    }),
  ])
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
