import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

export type OperationType = 'query' | 'mutation' | 'subscription'
/** `refused`: not executed; `errors`: executed, with errors in its result. */
export type Outcome = 'ok' | 'errors' | 'refused' | 'canceled'

/** What the gateway counts beside the calls to its services. */
export interface GatewayMetrics {
  operated(type: OperationType, outcome: Outcome, elapsedMs: number): void
  /** An event has gone to a subscriber. */
  event(): void
  subscriptions(change: 1 | -1): void
  sockets(change: 1 | -1): void
}

/** From a health check to the longest operation. */
const secondsBuckets = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 120]

export function createGatewayMetrics(registry: Registry): GatewayMetrics {
  const registers = [registry]
  const operations = new Counter({
    name: 'moma_operations_total',
    help: 'GraphQL operations that have ended, by type and outcome.',
    labelNames: ['type', 'outcome'] as const,
    registers,
  })
  const seconds = new Histogram({
    name: 'moma_operation_seconds',
    help: 'Time from the start of a query or mutation to its result.',
    labelNames: ['type'] as const,
    buckets: secondsBuckets,
    registers,
  })
  const events = new Counter({
    name: 'moma_subscription_events_total',
    help: 'Events sent to subscribers.',
    registers,
  })
  const subscriptions = new Gauge({ name: 'moma_subscriptions', help: 'Subscriptions that are open now.', registers })
  const sockets = new Gauge({ name: 'moma_websockets', help: 'WebSockets that are open now.', registers })
  return {
    operated(type, outcome, elapsedMs) {
      operations.inc({ type, outcome })
      if (type !== 'subscription' && outcome !== 'refused') seconds.observe({ type }, elapsedMs / 1000)
    },
    event: () => events.inc(),
    subscriptions: (change) => subscriptions.inc(change),
    sockets: (change) => sockets.inc(change),
  }
}
