import { randomBytes } from 'node:crypto'
import { MeshError } from '../errors.ts'
import { backlog, type KeptEvent, keptEvent } from './backlog.ts'
import { checkTopic, defaultEventsOptions, type Events, type EventsOptions } from './events.ts'
import { createMailbox, type Mailbox } from './mailbox.ts'

interface Topic {
  readonly kept: KeptEvent[]
  readonly mailboxes: Set<Mailbox<KeptEvent>>
  newestAt: number
}

/** Topics with events at once; the one that was still the longest goes first. */
const maxTopics = 10_000

/** `Events` inside one process. */
export function createMemoryEvents(options: Partial<EventsOptions> = {}): Events {
  const { maxAgeMs, maxPerTopic, maxQueued } = { ...defaultEventsOptions, ...options }
  const epoch = randomBytes(6).toString('hex')
  /** The one that changed last is last. */
  const topics = new Map<string, Topic>()
  const ended = new AbortController()
  let sequence = 0

  const topicOf = (name: string): Topic => {
    const topic = topics.get(name) ?? { kept: [], mailboxes: new Set(), newestAt: Date.now() }
    topics.set(name, topic)
    return topic
  }
  const sweep = () => {
    const oldest = Date.now() - maxAgeMs
    for (const [name, { mailboxes, newestAt }] of topics) {
      if (newestAt > oldest && topics.size <= maxTopics) return
      if (mailboxes.size === 0) topics.delete(name)
    }
  }

  return {
    async publish(name, data) {
      checkTopic(name)
      if (ended.signal.aborted) throw new MeshError('UNAVAILABLE', 'the events were closed')
      const topic = topicOf(name)
      topics.delete(name)
      topics.set(name, topic)
      topic.newestAt = Date.now()
      const event = keptEvent({ epoch, sequence: ++sequence }, Uint8Array.from(data))
      topic.kept.push(event)
      if (topic.kept.length > maxPerTopic) topic.kept.shift()
      for (const mailbox of topic.mailboxes) mailbox.put([event])
      sweep()
      return event.cursor
    },
    async *subscribe(name, after, signal) {
      checkTopic(name)
      const stop = AbortSignal.any([signal, ended.signal])
      if (stop.aborted) return
      const topic = topicOf(name)
      if (topic.newestAt <= Date.now() - maxAgeMs) topic.kept.length = 0
      const mailbox = createMailbox<KeptEvent>(maxQueued)
      mailbox.put(backlog(topic.kept, after, epoch))
      topic.mailboxes.add(mailbox)
      try {
        yield* mailbox.read(stop)
      } finally {
        topic.mailboxes.delete(mailbox)
        if (topic.mailboxes.size === 0 && topic.kept.length === 0) topics.delete(name)
      }
    },
    async [Symbol.asyncDispose]() {
      ended.abort()
      topics.clear()
    },
  }
}
