import { crc32 } from 'node:zlib'

const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
const headerEnd = signature.length + 12 + 13

/**
 * Inserts texts as uncompressed iTXt chunks (PNG 3, §11.3.3.4, UTF-8) right behind a PNG's IHDR.
 *
 * Throws a RangeError for bytes that are no PNG, a keyword that is not 1 to 79 printable ASCII characters without
 * spaces at its ends or in a row, and a text with a zero byte.
 */
export function insertTexts(png: Uint8Array, texts: Readonly<Record<string, string>>): Uint8Array {
  requirePng(png)
  const chunks = Object.entries(texts).map(([keyword, text]) => textChunk(keyword, text))
  return new Uint8Array(Buffer.concat([png.subarray(0, headerEnd), ...chunks, png.subarray(headerEnd)]))
}

/** All uncompressed iTXt texts of a PNG by keyword; throws a RangeError if the file is cut short or a checksum is wrong. */
export function readTexts(png: Uint8Array): Readonly<Record<string, string>> {
  requirePng(png)
  const texts: Record<string, string> = {}
  for (const { type, data } of readChunks(png)) {
    if (type !== 'iTXt') continue
    const keywordEnd = data.indexOf(0)
    const compressed = data[keywordEnd + 1] !== 0
    const languageEnd = data.indexOf(0, keywordEnd + 3)
    const translatedEnd = data.indexOf(0, languageEnd + 1)
    if (keywordEnd < 1 || compressed || languageEnd < 0 || translatedEnd < 0) continue
    texts[data.toString('latin1', 0, keywordEnd)] = data.toString('utf8', translatedEnd + 1)
  }
  return texts
}

function textChunk(keyword: string, text: string): Buffer {
  if (!/^[!-~]+(?: [!-~]+)*$/.test(keyword) || keyword.length > 79) {
    throw new RangeError(`PNG keyword '${keyword}': must be 1 to 79 printable ASCII characters, single spaces inside`)
  }
  if (text.includes('\0')) throw new RangeError(`PNG text '${keyword}': must not hold a zero byte`)
  // keyword, 0, not compressed, method 0, no language 0, no translated keyword 0, text
  const data = Buffer.concat([Buffer.from(`${keyword}\0\0\0\0\0`, 'latin1'), Buffer.from(text, 'utf8')])
  return chunk('iTXt', data)
}

/** One chunk: length, type, data, CRC-32 over type and data. */
function chunk(type: string, data: Uint8Array): Buffer {
  const typed = Buffer.concat([Buffer.from(type, 'latin1'), data])
  return Buffer.concat([uint32(data.length), typed, uint32(crc32(typed))])
}

function* readChunks(png: Uint8Array): Generator<{ readonly type: string; readonly data: Buffer }> {
  const bytes = Buffer.from(png.buffer, png.byteOffset, png.byteLength)
  let offset = signature.length
  while (offset < bytes.length) {
    if (offset + 12 > bytes.length) throw new RangeError(`PNG: cut short at byte ${offset}`)
    const dataEnd = offset + 8 + bytes.readUInt32BE(offset)
    if (dataEnd + 4 > bytes.length) throw new RangeError(`PNG: the chunk at byte ${offset} is cut short`)
    const type = bytes.toString('latin1', offset + 4, offset + 8)
    if (crc32(bytes.subarray(offset + 4, dataEnd)) !== bytes.readUInt32BE(dataEnd)) {
      throw new RangeError(`PNG: the ${type} chunk at byte ${offset} has a wrong checksum`)
    }
    yield { type, data: bytes.subarray(offset + 8, dataEnd) }
    offset = dataEnd + 4
  }
}

function requirePng(png: Uint8Array): void {
  if (png.length < headerEnd || !signature.equals(png.subarray(0, signature.length))) {
    throw new RangeError('PNG: the bytes do not begin with a PNG signature and header')
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
