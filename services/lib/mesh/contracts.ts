import { join } from 'node:path'
import type { ServiceDefinition } from '@grpc/grpc-js'
import { IdempotencyLevel, loadSync, type MethodOptions, type PackageDefinition } from '@grpc/proto-loader'
import type { ContextServiceDefinition } from './generated/moma/context/v1/ContextService.ts'
import type { DenoiseServiceDefinition } from './generated/moma/denoise/v1/DenoiseService.ts'
import type { GenerationServiceDefinition } from './generated/moma/generation/v1/GenerationService.ts'
import type { SafetyServiceDefinition } from './generated/moma/safety/v1/SafetyService.ts'
import type { VisionServiceDefinition } from './generated/moma/vision/v1/VisionService.ts'

/** A service of protos/: its full name, and how its messages are written and read. */
export interface Contract<Definition extends ServiceDefinition = ServiceDefinition> {
  /** Such as `moma.vision.v1.VisionService`. */
  readonly name: string
  /** Such as `vision`: what messages and logs call it. */
  readonly shortName: string
  readonly definition: Definition
}

/** All contracts, as the reflection service shows them. 64-bit numbers are read as numbers: the largest here is a seed below 2^53. */
export const contracts: PackageDefinition = loadSync(
  ['context', 'denoise', 'generation', 'safety', 'vision'].map((name) => `moma/${name}/v1/${name}.proto`),
  {
    includeDirs: [join(import.meta.dirname, '../../../protos')],
    longs: Number,
    enums: String,
    defaults: true,
    oneofs: true,
  },
)

function contract<Definition extends ServiceDefinition>(shortName: string, name: string): Contract<Definition> {
  // What the loader reads is what the generated types were written from.
  return { name, shortName, definition: contracts[name] as unknown as Definition }
}

export const visionContract = contract<VisionServiceDefinition>('vision', 'moma.vision.v1.VisionService')
export const contextContract = contract<ContextServiceDefinition>('context', 'moma.context.v1.ContextService')
export const denoiseContract = contract<DenoiseServiceDefinition>('denoise', 'moma.denoise.v1.DenoiseService')
export const safetyContract = contract<SafetyServiceDefinition>('safety', 'moma.safety.v1.SafetyService')
export const generationContract = contract<GenerationServiceDefinition>(
  'generation',
  'moma.generation.v1.GenerationService',
)

/** Whether the contract says that a method may be called twice where once was meant (`idempotency_level`). */
export function isIdempotent({ definition }: Contract, method: string): boolean {
  const { options } = definition[method] as { readonly options?: MethodOptions }
  const level = options?.idempotency_level ?? IdempotencyLevel.IDEMPOTENCY_UNKNOWN
  return level !== IdempotencyLevel.IDEMPOTENCY_UNKNOWN
}
