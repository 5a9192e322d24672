import { cast, cos, multiply, silu, sin } from '../graph/ops/elementwise.ts'
import { concat, gather, range, unsqueeze } from '../graph/ops/layout.ts'
import { constant, type Value } from '../graph/value.ts'
import type { Weights } from '../weights/weights.ts'
import { linear } from './linear.ts'

/** torch Embedding: ids [...] (int64, below `count`) → [..., width]. Only the rows that are read leave the file. */
export function embedding(w: Weights, ids: Value, count: number, width: number): Value {
  return cast(gather(w.stored('weight', [count, width]), ids), w.compute)
}

/**
 * diffusers get_timestep_embedding as Stable Diffusion sets it (flip_sin_to_cos, no shift): timestep [B] (float32,
 * 0 … 999) → [B, channels], cosines first.
 */
export function timestepEmbedding(timestep: Value, channels: number): Value {
  const half = channels / 2
  const frequencies = Array.from({ length: half }, (_, index) => Math.exp((-Math.log(10000) * index) / half))
  const angles = multiply(unsqueeze(timestep, [1]), constant('float32', [1, half], frequencies))
  return concat([cos(angles), sin(angles)], 1)
}

/** diffusers Timesteps and TimestepEmbedding: timestep [B] → [B, 4 · channels]. */
export function timeEmbedding(w: Weights, timestep: Value, channels: number): Value {
  const hidden = silu(linear(w.at('linear_1'), cast(timestepEmbedding(timestep, channels), w.compute), 4 * channels))
  return linear(w.at('linear_2'), hidden, 4 * channels)
}

/**
 * Rotary position tables of LLaMA for the positions of axis 1 of x [B, T, C]: cosines and sines [T, d/2] in float32
 * for heads of `headSize` = d channels, at the frequencies θ^(−2i/d).
 */
export function rotaryTables(x: Value, headSize: number, theta: number): { cosines: Value; sines: Value } {
  const half = headSize / 2
  const frequencies = Array.from({ length: half }, (_, index) => theta ** ((-2 * index) / headSize))
  const positions = unsqueeze(cast(range(x, 1), 'float32'), [1])
  const angles = multiply(positions, constant('float32', [1, half], frequencies))
  return { cosines: cos(angles), sines: sin(angles) }
}
