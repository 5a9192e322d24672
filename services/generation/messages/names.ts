import type { SamplerName } from '../../denoise/samplers/sampler.ts'
import type { Method as MethodValue } from '../../lib/mesh/generated/moma/generation/v1/Method.ts'
import type { Sampler as SamplerValue } from '../../lib/mesh/generated/moma/generation/v1/Sampler.ts'
import type { Task as TaskValue } from '../../lib/mesh/generated/moma/generation/v1/Task.ts'
import type { Method, Task } from '../request.ts'

type NamesOf<Value extends string | number, Word> = Readonly<
  Record<Exclude<Value & string, `${string}_UNSPECIFIED`>, Word>
>

/** The contract's words for ours. */
export const taskNames: NamesOf<TaskValue, Task> = {
  TASK_RECONTEXTUALIZE: 'recontextualize',
  TASK_RETEXTURE: 'retexture',
}

export const methodNames: NamesOf<MethodValue, Method> = {
  METHOD_MOMA: 'moma',
  METHOD_IP_ADAPTER: 'ip-adapter',
  METHOD_NO_MASK: 'no-mask',
  METHOD_NO_SUBJECT: 'no-subject',
  METHOD_NO_MLLM: 'no-mllm',
}

export const samplerNames: NamesOf<SamplerValue, SamplerName> = {
  SAMPLER_DDIM: 'ddim',
  SAMPLER_DPM_SOLVER_PP_2M: 'dpm-solver++',
  SAMPLER_UNIPC: 'unipc',
}
