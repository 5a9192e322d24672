import { createServer } from 'node:http'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { type Address, listenAt } from './address.ts'
import type { Code } from './errors.ts'
import type { Slots } from './slots.ts'

/** What the servers of one process count. */
export interface Metrics {
  readonly registry: Registry
  /** A call has ended: `OK` or its code, and how long it took. */
  called(service: string, method: string, code: Code | 'OK', elapsedMs: number): void
  /** Shows how full a service is. */
  watchSlots(service: string, slots: Slots): void
}

/** From a health check to a whole generation. */
const secondsBuckets = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 1800]

export function createMetrics(): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const labelNames = ['service', 'method', 'code'] as const
  const seconds = new Histogram({
    name: 'moma_call_seconds',
    help: 'Time from the start of a call to its status.',
    labelNames,
    buckets: secondsBuckets,
    registers: [registry],
  })
  const handled = new Counter({
    name: 'moma_calls_total',
    help: 'Calls that have ended, by their status.',
    labelNames,
    registers: [registry],
  })
  const watched = new Map<string, Slots>()
  const gauge = (name: string, help: string, value: (slots: Slots) => number) =>
    new Gauge({
      name,
      help,
      labelNames: ['service'] as const,
      registers: [registry],
      collect() {
        for (const [service, slots] of watched) this.set({ service }, value(slots))
      },
    })
  gauge('moma_slots_busy', 'Calls that work now.', ({ busy }) => busy)
  gauge('moma_slots_waiting', 'Calls that wait for their turn.', ({ waiting }) => waiting)

  return {
    registry,
    called(service, method, code, elapsedMs) {
      seconds.observe({ service, method, code }, elapsedMs / 1000)
      handled.inc({ service, method, code })
    },
    watchSlots: (service, slots) => void watched.set(service, slots),
  }
}

export interface MetricsServer {
  readonly address: Address
  dispose(): Promise<void>
}

/** Serves `/metrics` in Prometheus' text format over HTTP. */
export async function serveMetrics({ registry }: Metrics, address: Address): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url?.split('?')[0] !== '/metrics') {
      response.writeHead(404).end()
      return
    }
    registry.metrics().then(
      (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
      () => response.writeHead(500).end(),
    )
  })
  const bound = await listenAt(server, address)
  return {
    address: bound,
    dispose: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
