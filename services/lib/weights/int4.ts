import { readTensorRange } from './checkpoint.ts'
import { decodeFloats, type FloatDType, isFloatDType } from './half.ts'
import { type Checkpoint, CheckpointError, quote, type TensorEntry } from './tensor-entry.ts'
import { createSafetensors, type TensorSpec } from './write-safetensors.ts'

/** Values along K that share a scale. */
export const int4BlockLength = 32
const bytesPerBlock = int4BlockLength / 2
/** The code of zero, which MatMulNBits takes where it is given no zero points. */
const zeroCode = 8
const chunkLength = 16 * 2 ** 20

/**
 * A weight [N, K] in the layout of com.microsoft MatMulNBits with bits 4 and block_size 32:
 * `codes` is B [N, ⌈K/32⌉, 16], two codes a byte, the lower nibble first; `scales` is [N, ⌈K/32⌉]; a value is
 * (code − 8) · scale.
 * https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits
 */
export interface Int4Matrix {
  readonly rows: number
  readonly columns: number
  readonly codes: Uint8Array<ArrayBuffer>
  readonly scales: Float32Array<ArrayBuffer>
}

/**
 * Quantises a weight [rows, columns], row-major, by the rule of onnxruntime's and GGML's symmetric quantisers: in every
 * block the value of largest magnitude gets the code 0 (−8), so `scale` is that value / −8 and carries its sign; the others
 * are rounded to the nearest step, at most +7. The worst error of a value is a step, where it is the largest's negative,
 * and half a step elsewhere. Throws a RangeError for a value that is not finite, or when the length is not rows × columns.
 */
export function quantizeInt4(values: Float32Array, rows: number, columns: number): Int4Matrix {
  checkLength('values', values.length, rows * columns)
  const blocks = blocksOf(columns)
  const codes = new Uint8Array(rows * blocks * bytesPerBlock)
  const scales = new Float32Array(rows * blocks)
  const last = columns - (blocks - 1) * int4BlockLength
  const padded = new Float32Array(int4BlockLength)
  for (let block = 0; block < scales.length; block++) {
    const row = Math.floor(block / blocks)
    const index = block - row * blocks
    const start = row * columns + index * int4BlockLength
    let from = values
    let at = start
    if (index === blocks - 1 && last < int4BlockLength) {
      padded.set(values.subarray(start, start + last))
      from = padded
      at = 0
    }
    scales[block] = quantizeBlock(from, at, codes, block * bytesPerBlock)
  }
  return { rows, columns, codes, scales }
}

/** Writes the 16 bytes of a block's codes and returns its scale. */
function quantizeBlock(values: Float32Array, at: number, codes: Uint8Array, codesAt: number): number {
  let largest = 0
  let magnitude = 0
  let sum = 0
  for (let index = at; index < at + int4BlockLength; index++) {
    const value = values[index]!
    const size = Math.abs(value)
    sum += size
    if (size > magnitude) {
      magnitude = size
      largest = value
    }
  }
  if (!Number.isFinite(sum)) throw new RangeError(`a value of the 32 from ${at} is not finite`)
  const scale = Math.fround(largest / -zeroCode)
  const inverse = scale === 0 ? 0 : 1 / scale
  for (let index = 0; index < bytesPerBlock; index++) {
    // Each sum is in 0.5 … 16.5, so that cutting its fraction off rounds the code to nearest.
    const low = (values[at + 2 * index]! * inverse + (zeroCode + 0.5)) | 0
    const high = (values[at + 2 * index + 1]! * inverse + (zeroCode + 0.5)) | 0
    codes[codesAt + index] = Math.min(low, 15) | (Math.min(high, 15) << 4)
  }
  return scale
}

/** The values [rows, columns] that MatMulNBits multiplies with. */
export function dequantizeInt4({ rows, columns, codes, scales }: Int4Matrix): Float32Array<ArrayBuffer> {
  const blocks = blocksOf(columns)
  checkLength('codes', codes.length, rows * blocks * bytesPerBlock)
  checkLength('scales', scales.length, rows * blocks)
  const values = new Float32Array(rows * columns)
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const block = row * blocks + (column >> 5)
      const pair = codes[block * bytesPerBlock + ((column & 31) >> 1)]!
      const code = column & 1 ? pair >> 4 : pair & 15
      values[row * columns + column] = (code - zeroCode) * scales[block]!
    }
  }
  return values
}

/**
 * Writes `target`, one safetensors file: of every tensor X that `isQuantized` names, which must be floats [N, K], the codes
 * as `X.int4` (uint8 [N, ⌈K/32⌉, 16]) and the scales as `X.scales` (float32 [N, ⌈K/32⌉]); all others as they are.
 * Holds about 16 MiB of weights at a time. `onProgress` is told the source's bytes done and in all.
 * Throws a CheckpointError, and leaves no file, for another rank or dtype and for values that are not finite.
 */
export async function writeInt4Checkpoint(
  source: Checkpoint,
  isQuantized: (name: string) => boolean,
  target: string,
  onProgress: (doneBytes: number, totalBytes: number) => void = () => {},
): Promise<void> {
  const matrices = new Map<string, QuantizedEntry>()
  const specs: TensorSpec[] = []
  let total = 0
  for (const entry of source.tensors.values()) {
    total += entry.length
    if (isQuantized(entry.name)) {
      const matrix = quantizedEntry(entry)
      const blocks = blocksOf(matrix.columns)
      matrices.set(entry.name, matrix)
      specs.push({ name: `${entry.name}.int4`, dtype: 'uint8', shape: [matrix.rows, blocks, bytesPerBlock] })
      specs.push({ name: `${entry.name}.scales`, dtype: 'float32', shape: [matrix.rows, blocks] })
    } else specs.push(entry)
  }

  await using file = await createSafetensors(target, specs, { format: 'pt' })
  let done = 0
  for (const entry of source.tensors.values()) {
    const matrix = matrices.get(entry.name)
    const step =
      matrix === undefined ? chunkLength : matrix.rowLength * Math.max(1, Math.floor(chunkLength / matrix.rowLength))
    for (let start = 0; start < entry.length; start += step) {
      const bytes = readTensorRange(entry, start, Math.min(step, entry.length - start))
      if (matrix === undefined) await file.append(entry.name, bytes)
      else {
        const { codes, scales } = quantizeRows(matrix, bytes)
        await file.append(`${entry.name}.int4`, codes)
        await file.append(`${entry.name}.scales`, new Uint8Array(scales.buffer))
      }
      done += bytes.length
      onProgress(done, total)
    }
  }
  await file.finish()
}

interface QuantizedEntry {
  readonly entry: TensorEntry
  readonly dtype: FloatDType
  readonly rows: number
  readonly columns: number
  /** Bytes of a row. */
  readonly rowLength: number
}

function quantizedEntry(entry: TensorEntry): QuantizedEntry {
  const { dtype, shape, length } = entry
  const [rows = 0, columns = 0] = shape
  if (!isFloatDType(dtype) || shape.length !== 2 || rows === 0 || columns === 0)
    throw new CheckpointError(
      entry.file,
      `tensor ${quote(entry.name)} is ${dtype} [${shape.join(', ')}]; float32, float16 or bfloat16 [N, K] can be quantised`,
    )
  return { entry, dtype, rows, columns, rowLength: length / rows }
}

function quantizeRows(
  { entry, dtype, columns, rowLength }: QuantizedEntry,
  bytes: Uint8Array<ArrayBuffer>,
): Int4Matrix {
  try {
    return quantizeInt4(decodeFloats(dtype, bytes), bytes.length / rowLength, columns)
  } catch (error) {
    if (error instanceof RangeError)
      throw new CheckpointError(entry.file, `tensor ${quote(entry.name)}: ${error.message}`)
    throw error
  }
}

function blocksOf(columns: number): number {
  return Math.ceil(columns / int4BlockLength)
}

function checkLength(name: string, length: number, expected: number): void {
  if (length !== expected) throw new RangeError(`${length} ${name} are given, the shape takes ${expected}`)
}
