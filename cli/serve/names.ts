import type { Address } from '../../services/lib/mesh/address.ts'

/** Services with networks; in one process they share a budget of memory. */
export const computeNames = ['vision', 'context', 'denoise', 'safety'] as const
export type ComputeName = (typeof computeNames)[number]

export const serviceNames = [...computeNames, 'generation'] as const
export type ServiceName = (typeof serviceNames)[number]

/** Ports on loopback where nothing else is said: a whole mesh starts on one machine without a variable. */
const defaultPorts: Readonly<Record<ServiceName, number>> = {
  vision: 7401,
  context: 7402,
  denoise: 7403,
  safety: 7404,
  generation: 7405,
}

export function defaultAddress(name: ServiceName): Address {
  return { host: '127.0.0.1', port: defaultPorts[name] }
}

export const isComputeName = (name: string): name is ComputeName => computeNames.some((one) => one === name)
export const isServiceName = (name: string): name is ServiceName => serviceNames.some((one) => one === name)
