/** IPTC's term for a picture made by a trained model (https://cv.iptc.org/newscodes/digitalsourcetype). */
export const trainedAlgorithmicMedia = 'http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia'

export const software = 'MoMA Mesh'

export type Setting = string | number | boolean

/** What made a picture: enough to make it again. `seed` is the picture's own, 0 to 2^64 − 1. */
export interface Provenance {
  readonly seed: bigint
  readonly settings: Readonly<Record<string, Setting>>
}

const namespaces = {
  xmp: 'http://ns.adobe.com/xap/1.0/',
  Iptc4xmpExt: 'http://iptc.org/std/Iptc4xmpExt/2008-02-29/',
  moma: 'urn:moma-mesh:generation#',
}

/** libvips leaves a longer packet out of a JPEG without a word; the segment itself would hold 65,502 bytes. */
const maxPacketBytes = 60_000

/** Stands at the end of a text that was cut. */
const cutMark = ' […]'

/**
 * The settings as one line of JSON without any character that XML 1.0 or PNG text forbids.
 *
 * Throws a RangeError for a number that is not finite (JSON would turn it into null) and for a seed outside 64 bits.
 */
export function settingsText({ seed, settings }: Provenance): string {
  if (seed < 0n || seed >= 1n << 64n) throw new RangeError(`seed: ${seed}, must be from 0 to 2^64 − 1`)
  for (const [name, value] of Object.entries(settings)) {
    if (typeof value === 'number' && !Number.isFinite(value)) {
      throw new RangeError(`setting '${name}': ${value}, must be a finite number`)
    }
  }
  // JSON itself escapes what lies below U+0020 and lone surrogates.
  return JSON.stringify(settings).replace(/[\ufffe\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16)}`)
}

/**
 * The XMP packet (ISO 16684-1) of a generated picture. Where it would be longer than a JPEG can hold, the longest texts of its
 * settings are cut and `moma:shortened` names them: a picture is never lost for what is said of it. Throws a RangeError where
 * that is not enough.
 */
export function xmpPacket(provenance: Provenance): string {
  const whole = packetOf(propertiesOf(provenance))
  if (fits(whole)) return whole
  // By halves, to the most characters that every text may keep.
  let [kept, tooMany] = [0, Math.max(...Object.values(provenance.settings).map((value) => String(value).length))]
  while (tooMany - kept > 1) {
    const middle = (kept + tooMany) >> 1
    if (fits(shortenedPacket(provenance, middle))) kept = middle
    else tooMany = middle
  }
  const packet = shortenedPacket(provenance, kept)
  if (fits(packet)) return packet
  const length = Buffer.byteLength(packet)
  throw new RangeError(`settings: ${length} bytes as XMP with every text cut, allowed are ${maxPacketBytes}`)
}

/** The XMP packet of a picture that is still becoming: that it was generated and by what, in some hundred bytes. */
export function sourcePacket(): string {
  return packetOf(sourceProperties)
}

type Property = readonly [name: string, value: string]

const sourceProperties: readonly Property[] = [
  ['Iptc4xmpExt:DigitalSourceType', trainedAlgorithmicMedia],
  ['xmp:CreatorTool', software],
]

const propertiesOf = (provenance: Provenance): Property[] => [
  ...sourceProperties,
  ['moma:seed', String(provenance.seed)],
  ['moma:settings', settingsText(provenance)],
]

function shortenedPacket({ seed, settings }: Provenance, maxCharacters: number): string {
  const long = Object.entries(settings).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string' && entry[1].length > maxCharacters,
  )
  const cut = Object.fromEntries(long.map(([name, text]) => [name, beginningOf(text, maxCharacters) + cutMark]))
  const properties = propertiesOf({ seed, settings: { ...settings, ...cut } })
  return packetOf([...properties, ['moma:shortened', Object.keys(cut).join(' ')]])
}

/** Never half of a surrogate pair. */
function beginningOf(text: string, maxCharacters: number): string {
  const splits = /[\ud800-\udbff]/.test(text.charAt(maxCharacters - 1))
  return text.slice(0, splits ? maxCharacters - 1 : maxCharacters)
}

const fits = (packet: string) => Buffer.byteLength(packet) <= maxPacketBytes

function packetOf(properties: readonly Property[]): string {
  return [
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>',
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">',
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">',
    `<rdf:Description rdf:about=""${Object.entries(namespaces)
      .map(([prefix, uri]) => ` xmlns:${prefix}="${uri}"`)
      .join('')}>`,
    ...properties.map(([name, value]) => `<${name}>${escapeXml(value)}</${name}>`),
    '</rdf:Description></rdf:RDF></x:xmpmeta>',
    '<?xpacket end="r"?>',
  ].join('\n')
}

/** The text of a simple property in a packet that xmpPacket wrote, or null. */
export function xmpProperty(packet: string, name: string): string | null {
  const match = new RegExp(`<${name}>([^<]*)</${name}>`).exec(packet)
  return match === null ? null : unescapeXml(match[1]!)
}

const entities: readonly (readonly [string, string])[] = [
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&apos;'],
]

function escapeXml(text: string): string {
  return entities.reduce((escaped, [character, entity]) => escaped.replaceAll(character, entity), text)
}

function unescapeXml(text: string): string {
  return entities.reduceRight((plain, [character, entity]) => plain.replaceAll(entity, character), text)
}
