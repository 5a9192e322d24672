import { service as healthDefinition } from 'grpc-health-check'
import type { Contract } from './contracts.ts'
import { MeshError } from './errors.ts'
import { alwaysReady } from './readiness.ts'
import type { Call, MeshService } from './service.ts'

/** grpc.health.v1 (grpc/grpc, doc/health-checking.md). */
export const healthContract: Contract = {
  name: 'grpc.health.v1.Health',
  shortName: 'health',
  definition: healthDefinition,
}

export type ServingStatus = 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN'

export interface Health extends MeshService {
  /** From now on nothing is served. */
  drain(): void
  dispose(): void
}

/** The truth about `services`, by full name, and about all of them together under the empty name. */
export function createHealth(services: readonly MeshService[]): Health {
  const listeners = new Set<() => void>()
  const tell = () => {
    for (const listener of listeners) listener()
  }
  const stops = services.map(({ readiness }) => readiness.onChange(tell))
  let draining = false

  const statusOf = (name: string): ServingStatus => {
    const asked = name === '' ? services : services.filter(({ contract }) => contract.name === name)
    if (asked.length === 0) return 'SERVICE_UNKNOWN'
    return !draining && asked.every(({ readiness }) => readiness.ready) ? 'SERVING' : 'NOT_SERVING'
  }

  return {
    contract: healthContract,
    readiness: alwaysReady,
    methods: {
      async Check({ service }: HealthRequest) {
        const status = statusOf(service)
        if (status === 'SERVICE_UNKNOWN') throw new MeshError('NOT_FOUND', `there is no service ${service} here`)
        return { status }
      },
      async *Watch({ service }: HealthRequest, { signal }: Call) {
        let changed = Promise.withResolvers<void>()
        const wake = () => changed.resolve()
        listeners.add(wake)
        signal.addEventListener('abort', wake)
        try {
          for (let last: ServingStatus | undefined; !signal.aborted; await changed.promise) {
            changed = Promise.withResolvers<void>()
            const status = statusOf(service)
            if (status !== last) yield { status }
            last = status
          }
        } finally {
          listeners.delete(wake)
          signal.removeEventListener('abort', wake)
        }
      },
      async List() {
        const names = ['', ...services.map(({ contract }) => contract.name)]
        return { statuses: Object.fromEntries(names.map((name) => [name, { status: statusOf(name) }])) }
      },
    },
    drain() {
      draining = true
      tell()
    },
    dispose() {
      for (const stop of stops) stop()
      for (const { readiness } of services) readiness.dispose()
    },
  }
}

interface HealthRequest {
  readonly service: string
}
