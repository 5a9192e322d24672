import sharp from 'sharp'
import { type RgbImage, requirePixels } from './image.ts'
import { insertTexts, readTexts } from './png-text.ts'
import { encodePreview } from './preview.ts'
import {
  type Provenance,
  type Setting,
  settingsText,
  software,
  sourcePacket,
  xmpPacket,
  xmpProperty,
} from './provenance.ts'

export type OutputFormat = 'png' | 'jpeg' | 'webp'

/** The keyword under which a PNG holds its XMP packet (XMP specification, part 3, §1.1.5). */
const xmpKeyword = 'XML:com.adobe.xmp'

/**
 * Encodes a generated picture with its provenance: seed, settings and `DigitalSourceType: trainedAlgorithmicMedia`.
 *
 * All three formats carry them in XMP, where long texts are cut, a PNG also as the texts `Software`, `seed` and `settings`
 * (JSON), where none is. No date and no other metadata: the same picture and settings give the same bytes. Throws a
 * RangeError for a seed outside 64 bits, a setting that is no finite number, and settings that take over 60,000 bytes of XMP
 * with every text cut.
 */
export async function encodeImage(image: RgbImage, format: OutputFormat, provenance: Provenance): Promise<Uint8Array> {
  requirePixels(image, image.pixels, 3)
  const xmp = xmpPacket(provenance)
  const raw = sharp(image.pixels, { raw: { width: image.widthPx, height: image.heightPx, channels: 3 } })
  if (format === 'jpeg') {
    return new Uint8Array(await raw.withXmp(xmp).jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer())
  }
  if (format === 'webp') return new Uint8Array(await raw.withXmp(xmp).webp({ quality: 95 }).toBuffer())
  // libvips would write the packet as compressed zTXt, where readers that follow the XMP specification don't look.
  return insertTexts(await raw.png().toBuffer(), {
    Software: software,
    seed: String(provenance.seed),
    settings: settingsText(provenance),
    [xmpKeyword]: xmp,
  })
}

/** A picture that is still becoming as a PNG that says that it was generated: of how, the finished one tells. */
export async function encodeDrawnPreview(image: RgbImage): Promise<Uint8Array> {
  return insertTexts(await encodePreview(image, 'png'), { Software: software, [xmpKeyword]: sourcePacket() })
}

/** What an encoded picture says of itself; null where it says nothing. */
export interface PictureMetadata {
  readonly format: string
  readonly digitalSourceType: string | null
  /** A PNG's settings are whole, those of others as its XMP has them. */
  readonly provenance: Provenance | null
  /** The texts of a PNG by keyword; empty for other formats. */
  readonly texts: Readonly<Record<string, string>>
}

/** Reads back what encodeImage wrote; throws if the bytes are no picture, or a provenance that it can't have written. */
export async function readMetadata(bytes: Uint8Array): Promise<PictureMetadata> {
  const { format, xmpAsString } = await sharp(bytes, { limitInputPixels: false }).metadata()
  const texts = format === 'png' ? readTexts(bytes) : {}
  const xmp = texts[xmpKeyword] ?? xmpAsString ?? ''
  const seed = xmpProperty(xmp, 'moma:seed')
  const settings = texts.settings ?? xmpProperty(xmp, 'moma:settings')
  return {
    format,
    digitalSourceType: xmpProperty(xmp, 'Iptc4xmpExt:DigitalSourceType'),
    provenance: seed === null || settings === null ? null : { seed: BigInt(seed), settings: parseSettings(settings) },
    texts,
  }
}

function parseSettings(text: string): Readonly<Record<string, Setting>> {
  const parsed: unknown = JSON.parse(text)
  if (typeof parsed !== 'object' || parsed === null) throw new RangeError(`settings: '${text}', must be a JSON object`)
  return Object.fromEntries(
    Object.entries(parsed).map(([name, value]: [string, unknown]) => {
      if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return [name, value]
      throw new RangeError(`setting '${name}': must be text, a number, true or false`)
    }),
  )
}
