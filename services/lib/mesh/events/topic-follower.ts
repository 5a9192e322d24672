import { setTimeout as sleep } from 'node:timers/promises'
import type { ConsumerMessages } from '@nats-io/jetstream'
import type { Logger } from '../log.ts'
import type { Nats } from '../nats.ts'
import type { StreamKeeper } from '../nats-streams.ts'
import { type KeptEvent, keptEvent } from './backlog.ts'
import type { Mailbox } from './mailbox.ts'

/** One topic of a stream as all of its subscribers in this process see it: one consumer serves them all. */
export interface TopicFollower {
  readonly mailboxes: Set<Mailbox<KeptEvent>>
  /** All that is kept of the topic, as far as it has arrived. */
  readonly kept: readonly KeptEvent[]
  /** The stream's, as `epochOf` names it; '' before it is known. */
  readonly epoch: string
  /** Resolves once everything that was kept has arrived. */
  readonly caughtUp: Promise<void>
  /** Begins again after what arrived last: the connection was lost, perhaps the stream with it. */
  restart(): void
  dispose(): void
}

export interface TopicOptions {
  readonly nats: Nats
  readonly keeper: StreamKeeper
  readonly stream: string
  readonly subject: string
  readonly maxPerTopic: number
  readonly log: Logger
}

/** Wait after a failure: the server or its stream is gone. */
const retryMs = 250

/** A consumer that nobody reads any more is the server's to remove after this long. */
const inactiveMs = 60_000

/** Sequences start anew when a stream is made anew, so its time of making belongs to every cursor. */
export function epochOf(created: string): string {
  return new Date(created).getTime().toString(36)
}

export function followTopic({ nats, keeper, stream, subject, maxPerTopic, log }: TopicOptions): TopicFollower {
  const mailboxes = new Set<Mailbox<KeptEvent>>()
  const kept: KeptEvent[] = []
  const caughtUp = Promise.withResolvers<void>()
  const ended = new AbortController()
  let messages: ConsumerMessages | null = null
  let epoch = ''
  let last = 0

  const accept = (sequence: number, data: Uint8Array) => {
    if (sequence <= last) return
    last = sequence
    const event = keptEvent({ epoch, sequence }, data)
    kept.push(event)
    if (kept.length > maxPerTopic) kept.shift()
    for (const mailbox of mailboxes) mailbox.put([event])
  }

  const follow = async () => {
    const info = await keeper.ensure()
    if (epochOf(info.created) !== epoch) {
      // All that was kept is lost; what comes is counted from the beginning.
      epoch = epochOf(info.created)
      kept.length = 0
      last = 0
    }
    const consumer = await nats.streams.consumers.get(stream, {
      filter_subjects: subject,
      opt_start_seq: last + 1,
      inactive_threshold: inactiveMs,
    })
    try {
      if ((await consumer.info(true)).num_pending === 0) caughtUp.resolve()
      messages = await consumer.consume({
        max_messages: 256,
        expires: 30_000,
        idle_heartbeat: 5000,
        abort_on_missing_resource: true,
      })
      if (ended.signal.aborted) return
      for await (const { seq, data, info: delivery } of messages) {
        accept(seq, data)
        if (delivery.pending === 0) caughtUp.resolve()
      }
    } finally {
      await messages?.close()
      messages = null
      if (nats.connected) await consumer.delete().catch(() => undefined)
    }
  }

  const run = async () => {
    while (!ended.signal.aborted) {
      try {
        await follow()
      } catch (err) {
        keeper.forget()
        log.debug({ err, subject }, 'events can not be followed')
        await sleep(retryMs, undefined, { signal: ended.signal }).catch(() => undefined)
      }
    }
  }
  void run()

  return {
    mailboxes,
    kept,
    get epoch() {
      return epoch
    },
    caughtUp: caughtUp.promise,
    restart: () => void messages?.close(),
    dispose() {
      ended.abort()
      void messages?.close()
    },
  }
}
