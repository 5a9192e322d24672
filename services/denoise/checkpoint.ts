import type { MessageTypeDefinition } from '@grpc/proto-loader'
import { contracts } from '../lib/mesh/contracts.ts'
import { invalid, MeshError } from '../lib/mesh/errors.ts'
import { wholeField } from '../lib/mesh/fields.ts'
import type { Checkpoint, Checkpoint__Output } from '../lib/mesh/generated/moma/denoise/v1/Checkpoint.ts'
import { readTensor, type ShapePattern, tensorMessage } from '../lib/mesh/tensors.ts'
import { floatTensor } from '../lib/runtime/tensor.ts'
import type { DenoiseState } from './denoise.ts'

/** What a checkpoint must fit to. */
export interface CheckpointShape {
  readonly steps: number
  /** Null where any will do. */
  readonly count: number | null
  readonly channels: number | null
  /** Of the latents. */
  readonly heightPx: number | null
  readonly widthPx: number | null
}

/** The samplers here keep three tensors at most. */
const maxSamplerTensors = 8

/** Shares the state's memory. */
export function checkpointMessage({ step, latents, mask, sampler }: DenoiseState): Checkpoint {
  const samplerState = Object.entries(sampler).map(([name, numbers]) => {
    return [name, tensorMessage(floatTensor(latents.shape, numbers))] as const
  })
  return {
    step,
    latents: tensorMessage(latents),
    mask: tensorMessage(mask),
    samplerState: Object.fromEntries(samplerState),
  }
}

/** Throws INVALID_ARGUMENT that names the field, what it was and what it may be. */
export function readCheckpoint(
  field: string,
  message: Checkpoint__Output,
  { steps, count, channels, heightPx, widthPx }: CheckpointShape,
): DenoiseState {
  const step = wholeField(`${field}.step`, message.step, 0, steps)
  const pattern: ShapePattern = [count, channels, heightPx, widthPx]
  const latents = readTensor(`${field}.latents`, message.latents, pattern)
  const [images, , height, width] = latents.shape
  const mask = readTensor(`${field}.mask`, message.mask, [images!, 1, height!, width!])
  const entries = Object.entries(message.samplerState)
  if (entries.length > maxSamplerTensors) {
    throw invalid(`${field}.sampler_state`, `${entries.length} tensors`, `at most ${maxSamplerTensors}`)
  }
  const sampler = entries.map(([name, tensor]) => {
    return [name, readTensor(`${field}.sampler_state.${name.slice(0, 40)}`, tensor, latents.shape).data] as const
  })
  return { step, latents, mask, sampler: Object.fromEntries(sampler) }
}

const message = contracts['moma.denoise.v1.Checkpoint'] as MessageTypeDefinition<Checkpoint, Checkpoint__Output>

/** A state as bytes that can be kept; `decodeCheckpoint` gives the same numbers back. */
export function encodeCheckpoint(state: DenoiseState): Uint8Array {
  return message.serialize(checkpointMessage(state))
}

/** Throws DATA_LOSS on bytes that are no checkpoint of a run of this shape. */
export function decodeCheckpoint(bytes: Uint8Array, shape: CheckpointShape): DenoiseState {
  try {
    return readCheckpoint('checkpoint', message.deserialize(Buffer.from(bytes)), shape)
  } catch (error) {
    throw new MeshError('DATA_LOSS', 'the kept checkpoint can not be read', error)
  }
}
