import type { PlanNode, QueryPlan, SubscriptionNode } from '@apollo/query-planner'
import { createSourceEventStream, type ExecutionResult, execute, parse } from 'graphql'
import { subgraphs } from './subgraphs.ts'
import type { Operation, Supergraph } from './supergraph.ts'

/** The name under which an event's own part of the result is fetched, where plans name subgraphs. */
const eventSource = 'event'

export interface Subscription {
  readonly operation: Operation
  readonly variables: Readonly<Record<string, unknown>>
  /** Called once for the subscription and once for every event. */
  context(): Promise<object>
}

/**
 * Results of a subscription, each event with everything that was selected from any subgraph: the owning subgraph gives
 * the events, and for each the rest of the plan runs as it would for a query. The source is not read ahead: it waits
 * until a result was taken.
 */
export async function* subscribe(
  supergraph: Supergraph,
  { operation, variables, context }: Subscription,
): AsyncGenerator<ExecutionResult, void, undefined> {
  const { primary, rest } = subscriptionOf(supergraph.plan(operation))
  const subgraph = subgraphs.find(({ name }) => name === primary.serviceName)
  if (!subgraph) throw new TypeError(`there is no subgraph ${primary.serviceName}`)
  const fetch = {
    schema: subgraph.schema,
    document: primary.operationDocumentNode ?? parse(primary.operation),
    operationName: primary.operationName,
    variableValues: variables,
  }
  const nodes: PlanNode[] = [{ ...primary, serviceName: eventSource }, ...(rest ? [rest] : [])]
  const eventPlan: QueryPlan = { kind: 'QueryPlan', node: { kind: 'Sequence', nodes } }

  const events = await createSourceEventStream({ ...fetch, contextValue: await context() })
  if (!(Symbol.asyncIterator in events)) {
    yield events
    return
  }
  // What one subgraph has, it gives as it was asked for: there is nothing to fetch and to join.
  const whole = rest ? null : { ...fetch, document: operation.document, operationName: operation.operation.name?.value }
  for await (const event of events) {
    const eventContext = await context()
    if (whole) {
      yield execute({ ...whole, rootValue: event, contextValue: eventContext })
      continue
    }
    const answer = { process: async () => execute({ ...fetch, rootValue: event, contextValue: eventContext }) }
    yield supergraph.run(eventPlan, operation, { variables, context: eventContext }, { [eventSource]: answer as never })
  }
}

function subscriptionOf({ node }: QueryPlan): SubscriptionNode {
  if (node?.kind !== 'Subscription') throw new TypeError(`the plan of a subscription is a ${node?.kind}`)
  return node
}
