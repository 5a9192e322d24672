import { DiscardPolicy, RetentionPolicy, StorageType } from '@nats-io/jetstream'
import { nanos } from '@nats-io/transport-node'
import { MeshError } from '../errors.ts'
import { type Logger, silentLogger } from '../log.ts'
import type { Nats } from '../nats.ts'
import { createStreamKeeper } from '../nats-streams.ts'
import { backlog, isAfter, type KeptEvent } from './backlog.ts'
import { formatPlace } from './cursor.ts'
import { checkTopic, defaultEventsOptions, type Events, type EventsOptions } from './events.ts'
import { createMailbox } from './mailbox.ts'
import { epochOf, followTopic, type TopicFollower } from './topic-follower.ts'

export interface NatsEventsOptions extends Partial<EventsOptions> {
  readonly nats: Nats
  readonly log?: Logger
  /** Name of the stream, and of its subjects in lower case. */
  readonly stream?: string
  /** Copies of the stream in a cluster; undefined leaves them to the server, and to whoever has changed them there. */
  readonly replicas?: number | undefined
}

/** Topics that one process follows at once. */
const maxTopics = 10_000

/** Of the whole stream, the oldest events go first. The server puts that much of its disk aside. */
const maxBytes = 2 ** 28

/**
 * `Events` in a stream of JetStream with a subject a topic. All subscribers of a topic in one process share one
 * consumer. The stream is made anew when it is gone; subscriptions go on with what it has then.
 */
export async function createNatsEvents({ nats, log = silentLogger, ...options }: NatsEventsOptions): Promise<Events> {
  const { maxAgeMs, maxPerTopic, maxQueued } = { ...defaultEventsOptions, ...options }
  const { stream = 'MOMA_EVENTS', replicas } = options
  const prefix = `${stream.toLowerCase().replace('_', '.')}.`
  const followers = new Map<string, TopicFollower>()
  const ended = new AbortController()

  const keeper = createStreamKeeper(nats, {
    name: stream,
    subjects: [`${prefix}*`],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    discard: DiscardPolicy.Old,
    max_age: nanos(maxAgeMs),
    max_msgs_per_subject: maxPerTopic,
    max_bytes: maxBytes,
    ...(replicas !== undefined && { num_replicas: replicas }),
  })
  // Made now, so that a server that refuses it is known at start.
  await keeper.ensure()
  const stopListening = nats.onReconnect(() => {
    for (const follower of followers.values()) follower.restart()
  })

  const followerOf = (topic: string): TopicFollower => {
    const known = followers.get(topic)
    if (known) return known
    if (followers.size >= maxTopics) {
      throw new MeshError('RESOURCE_EXHAUSTED', `${followers.size} topics are followed, at most ${maxTopics} may be`)
    }
    const follower = followTopic({ nats, keeper, stream, subject: `${prefix}${topic}`, maxPerTopic, log })
    followers.set(topic, follower)
    return follower
  }
  const leave = (topic: string, follower: TopicFollower) => {
    if (follower.mailboxes.size > 0) return
    follower.dispose()
    followers.delete(topic)
  }

  return {
    async publish(topic, data) {
      checkTopic(topic)
      if (ended.signal.aborted) throw new MeshError('UNAVAILABLE', 'the events were closed')
      try {
        const { seq } = await keeper.publish(`${prefix}${topic}`, data)
        return formatPlace({ epoch: epochOf((await keeper.ensure()).created), sequence: seq })
      } catch (error) {
        throw new MeshError('UNAVAILABLE', 'the event can not be kept, try again later', error)
      }
    },
    async *subscribe(topic, after, signal) {
      checkTopic(topic)
      const stop = AbortSignal.any([signal, ended.signal])
      if (stop.aborted) return
      const follower = followerOf(topic)
      const mailbox = createMailbox<KeptEvent>(maxQueued)
      // What arrives before all that was kept has is in `kept` too.
      const waiting = createMailbox<KeptEvent>(0)
      follower.mailboxes.add(waiting)
      try {
        await untilEither(follower.caughtUp, stop)
        if (stop.aborted) return
        follower.mailboxes.delete(waiting)
        mailbox.put(backlog(follower.kept, after, follower.epoch))
        follower.mailboxes.add(mailbox)
        for await (const event of mailbox.read(stop)) if (isAfter(event, after)) yield event
      } finally {
        follower.mailboxes.delete(waiting)
        follower.mailboxes.delete(mailbox)
        leave(topic, follower)
      }
    },
    async [Symbol.asyncDispose]() {
      ended.abort()
      stopListening()
      for (const follower of followers.values()) follower.dispose()
      followers.clear()
    },
  }
}

async function untilEither(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise: aborted, resolve } = Promise.withResolvers<void>()
  const onAbort = () => resolve()
  signal.addEventListener('abort', onAbort, { once: true })
  await Promise.race([promise, aborted])
  signal.removeEventListener('abort', onAbort)
}
