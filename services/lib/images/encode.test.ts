import sharp from 'sharp'
import { decodeImage } from './decode.ts'
import { encodeDrawnPreview, encodeImage, readMetadata } from './encode.ts'
import { encodePreview } from './preview.ts'
import { xmpProperty } from './provenance.ts'
import { testImage } from './test-images.ts'

const image = testImage(48, 32)
const provenance = {
  seed: 2n ** 64n - 1n,
  settings: {
    prompt: 'a "dog" <in> & \'a\' Größe 中😀 &amp; ]]> garden\u0001\uffff\ud800',
    steps: 50,
    strength: 1.05,
    masked: true,
  },
}

test.each(['png', 'jpeg', 'webp'] as const)(
  'a %s tells its seed, its settings and that it was generated',
  async (format) => {
    const file = await encodeImage(image, format, provenance)
    const metadata = await readMetadata(file)
    expect(metadata.format).toBe(format)
    expect(metadata.provenance).toEqual(provenance)
    expect(metadata.digitalSourceType).toBe('http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia')
    // libvips finds the packet by itself, and it is nothing but well-formed XML 1.0 characters.
    const { xmpAsString, exif, icc } = await sharp(file).metadata()
    expect(xmpAsString).toContain(`<moma:seed>${provenance.seed}</moma:seed>`)
    expect(xmpAsString).toMatch(/^[\t\n\r -\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]*$/u)
    expect([exif, icc]).toEqual([undefined, undefined])
  },
)

test('a PNG holds the pixels, and texts that viewers show', async () => {
  const file = await encodeImage(image, 'png', provenance)
  expect(await decodeImage(file)).toEqual(image)
  const { texts } = await readMetadata(file)
  expect(texts.Software).toBe('MoMA Mesh')
  expect(texts['XML:com.adobe.xmp']).toContain('<?xpacket begin')
  expect(Buffer.from(file).includes('zTXt')).toBe(false)
  expect(texts.seed).toBe('18446744073709551615')
  expect(JSON.parse(texts.settings!)).toEqual(provenance.settings)
})

test('the same picture and settings give the same bytes', async () => {
  expect(await encodeImage(image, 'png', provenance)).toEqual(await encodeImage(image, 'png', provenance))
})

test('decoding strips all of it', async () => {
  const { pixels, ...rest } = await decodeImage(await encodeImage(image, 'webp', provenance))
  expect(rest).toEqual({ widthPx: 48, heightPx: 32, alpha: null })
})

test('a file of somebody else has no provenance', async () => {
  const file = await sharp({ create: { width: 16, height: 16, channels: 3, background: '#fff' } })
    .png()
    .toBuffer()
  expect(await readMetadata(file)).toEqual({ format: 'png', digitalSourceType: null, provenance: null, texts: {} })
})

test('what can not be written', async () => {
  await expect(encodeImage(image, 'png', { seed: -1n, settings: {} })).rejects.toThrow(
    'seed: -1, must be from 0 to 2^64 − 1',
  )
  await expect(encodeImage(image, 'png', { seed: 2n ** 64n, settings: {} })).rejects.toThrow(
    'seed: 18446744073709551616',
  )
  await expect(encodeImage(image, 'png', { seed: 1n, settings: { strength: Number.NaN } })).rejects.toThrow(
    "setting 'strength': NaN, must be a finite number",
  )
  const names = Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`number${index}`, index]))
  await expect(encodeImage(image, 'jpeg', { seed: 1n, settings: names })).rejects.toThrow(
    /^settings: \d+ bytes as XMP with every text cut, allowed are 60000$/,
  )
  await expect(encodeImage({ ...image, widthPx: 47 }, 'png', provenance)).rejects.toThrow('pixels: 47 × 32 px')
})

describe('settings that are longer than their packet may be', () => {
  const cases = [
    ['a prompt that XML makes seven times as long', { prompt: '"'.repeat(10_000) }, 'prompt'],
    [
      'Chinese in prompt and negative prompt',
      { prompt: '画'.repeat(10_000), negativePrompt: '人'.repeat(10_000) },
      'prompt negativePrompt',
    ],
    ['pictographs, of two units each', { prompt: `a${'😀'.repeat(20_000)}` }, 'prompt'],
  ] as const
  const settings = (texts: object) => ({ bundle: 'toy', label: 'dog', ...texts, steps: 50 })

  test.each(cases)(
    '%s: the packet says what it leaves out, the texts of a PNG say all',
    async (_, texts, shortened) => {
      const whole = { seed: 7n, settings: settings(texts) }
      const metadata = await readMetadata(await encodeImage(image, 'png', whole))
      expect(metadata.provenance).toEqual(whole)
      expect(metadata.digitalSourceType).toContain('trainedAlgorithmicMedia')
      const packet = metadata.texts['XML:com.adobe.xmp']!
      expect(Buffer.byteLength(packet)).toBeLessThanOrEqual(60_000)
      expect(Buffer.byteLength(packet)).toBeGreaterThan(59_900)
      expect(xmpProperty(packet, 'moma:shortened')).toBe(shortened)
    },
  )

  test.each(cases)('%s: cut between two characters in a JPEG', async (_, texts) => {
    const { provenance: read } = await readMetadata(
      await encodeImage(image, 'jpeg', { seed: 7n, settings: settings(texts) }),
    )
    expect(read).toMatchObject({ seed: 7n, settings: { bundle: 'toy', label: 'dog', steps: 50 } })
    for (const [name, text] of Object.entries(texts)) {
      const [beginning, rest] = String(read!.settings[name]).split(' […]')
      expect(rest).toBe('')
      expect(beginning!.length).toBeGreaterThan(2000)
      expect(text.startsWith(beginning!)).toBe(true)
      expect(beginning!.isWellFormed()).toBe(true)
    }
  })
})

test('a preview says that it was generated, in a few bytes', async () => {
  const preview = await encodeDrawnPreview(image)
  expect(await decodeImage(preview)).toEqual(image)
  const metadata = await readMetadata(preview)
  expect(metadata).toMatchObject({ format: 'png', provenance: null, texts: { Software: 'MoMA Mesh' } })
  expect(metadata.digitalSourceType).toBe('http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia')
  expect((await sharp(preview).metadata()).xmpAsString).toContain('trainedAlgorithmicMedia')
  expect(preview.length - (await encodePreview(image, 'png')).length).toBeLessThan(1000)
})

test('the longest settings that are allowed come through a JPEG', async () => {
  const long = { seed: 1n, settings: { prompt: 'x'.repeat(59_300) } }
  expect((await readMetadata(await encodeImage(image, 'jpeg', long))).provenance).toEqual(long)
})
