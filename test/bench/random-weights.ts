import { closeSync, existsSync, openSync, readFileSync, statSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bytesPerElement, type DType } from '../../services/lib/graph/dtype.ts'
import type { Checkpoint, TensorEntry } from '../../services/lib/weights/tensor-entry.ts'

/** Larger than the largest tensor of any network (LLaMA's token table in fp16 takes 262 MB). */
const fileBytes = 288 * 2 ** 20

/**
 * A checkpoint with the names and shapes of a real one, whose tensors are all windows of one file of small random
 * numbers: arithmetic takes as long as with real weights, and no gigabytes are written.
 */
export function randomCheckpoint(
  layout: Readonly<Record<string, readonly number[]>>,
  dtype: 'float32' | 'float16',
): Checkpoint {
  const tensors = new Map<string, TensorEntry>()
  let window = 0
  for (const [name, shape] of Object.entries(layout)) {
    const type: DType = name.endsWith('.int4') ? 'uint8' : name.endsWith('.scales') ? 'float32' : dtype
    const file = randomFile(type === 'uint8' ? 'float16' : type)
    const length = shape.reduce((count, size) => count * size, bytesPerElement[type])
    // Windows start at different places, so that no two weights are the same memory where there is room.
    const offset = Math.floor(((window++ % 61) / 61) * (fileBytes - length)) & ~4095
    tensors.set(name, { name, dtype: type, shape, file, offset, length })
  }
  return { source: `random ${dtype}`, tensors }
}

/** The names and shapes of a real checkpoint. */
export function readLayout(name: string): Record<string, number[]> {
  return JSON.parse(readFileSync(new URL(`../../models/moma-sd15/layouts/${name}.json`, import.meta.url), 'utf8'))
}

export function readLayoutConfig(name: string): unknown {
  return JSON.parse(
    readFileSync(new URL(`../../models/moma-sd15/layouts/${name}.config.json`, import.meta.url), 'utf8'),
  )
}

function randomFile(dtype: 'float32' | 'float16'): string {
  const file = join(tmpdir(), `moma-random-${dtype}.bin`)
  if (existsSync(file) && statSync(file).size === fileBytes) return file
  const block = 2 ** 22
  const numbers = dtype === 'float32' ? new Float32Array(block / 4) : new Float16Array(block / 2)
  const handle = openSync(file, 'w')
  try {
    for (let written = 0; written < fileBytes; written += block) {
      for (let index = 0; index < numbers.length; index++) numbers[index] = (Math.random() - 0.5) * 0.06
      writeSync(handle, new Uint8Array(numbers.buffer))
    }
  } finally {
    closeSync(handle)
  }
  return file
}
