import { invalid, MeshError } from '../lib/mesh/errors.ts'
import type { ReadAssetResponse } from '../lib/mesh/generated/moma/generation/v1/ReadAssetResponse.ts'
import type { Assets } from './assets/assets.ts'

/** Largest piece that travels. */
const pieceBytes = 2 ** 18

/** What the asset is, then `length` of its bytes (0 for all) from `offset` on. Throws NOT_FOUND for a token that is none. */
export async function* readAsset(
  assets: Assets,
  token: string,
  offset: number,
  length: number,
): AsyncGenerator<ReadAssetResponse> {
  const asset = await assets.find(token)
  if (!asset) throw new MeshError('NOT_FOUND', 'there is no file with this token')
  const { contentType, byteLength, sha256, key } = asset
  if (offset > byteLength) throw invalid('offset', offset, `a whole number from 0 to ${byteLength}`)
  yield { header: { contentType, byteLength, sha256 } }
  const wanted = Math.min(length === 0 ? byteLength : length, byteLength - offset)
  if (wanted === 0) return
  let sent = 0
  for await (const chunk of assets.stream(key, offset, wanted)) {
    for (let start = 0; start < chunk.length; start += pieceBytes) {
      yield { data: chunk.subarray(start, start + pieceBytes) }
    }
    sent += chunk.length
  }
  if (sent < wanted) throw new MeshError('DATA_LOSS', `the file ends after ${offset + sent} of ${byteLength} bytes`)
}
