import { setTimeout as sleep } from 'node:timers/promises'
import {
  AckPolicy,
  type Consumer,
  DiscardPolicy,
  JetStreamApiError,
  type JsMsg,
  RetentionPolicy,
  StorageType,
} from '@nats-io/jetstream'
import { nanos } from '@nats-io/transport-node'
import { MeshError } from '../errors.ts'
import { type Logger, silentLogger } from '../log.ts'
import type { Nats } from '../nats.ts'
import { createStreamKeeper } from '../nats-streams.ts'
import { checkJobId, defaultJobsOptions, type Job, type Jobs, type JobsOptions } from './jobs.ts'

export interface NatsJobsOptions extends Partial<JobsOptions> {
  readonly nats: Nats
  readonly log?: Logger
  /** Name of the stream, and of its subjects in lower case. */
  readonly stream?: string
  /** Copies of the stream in a cluster; undefined leaves them to the server, and to whoever has changed them there. */
  readonly replicas?: number | undefined
}

const durable = 'runners'

/** How long the server keeps one question for a job before it is asked anew. */
const pullMs = 30_000

/** Wait after a failure: the server, its stream or its consumer is gone. */
const retryMs = 250

/** Jobs that wait; the database's sweep adds again what finds no room. */
const maxWaiting = 100_000

/** JSStreamStoreFailedF: what the stream's bounds say. */
const storeFailed = 10077

/**
 * `Jobs` in a work queue of JetStream: a message a job under a subject of its own, which holds one message at most, so
 * that what waits or is handed out is not added twice. Stream and consumer are made anew when they are gone.
 */
export async function createNatsJobs({ nats, log = silentLogger, ...options }: NatsJobsOptions): Promise<Jobs> {
  const { ackWaitMs, maxDeliveries, maxPending } = { ...defaultJobsOptions, ...options }
  const { stream = 'MOMA_JOBS', replicas } = options
  const prefix = `${stream.toLowerCase().replace('_', '.')}.`
  const ended = new AbortController()

  const keeper = createStreamKeeper(nats, {
    name: stream,
    subjects: [`${prefix}*`],
    retention: RetentionPolicy.Workqueue,
    storage: StorageType.File,
    discard: DiscardPolicy.New,
    discard_new_per_subject: true,
    max_msgs_per_subject: 1,
    max_msgs: maxWaiting,
    ...(replicas !== undefined && { num_replicas: replicas }),
  })
  const openConsumer = async (): Promise<Consumer> => {
    await keeper.ensure()
    await nats.manager.consumers.add(stream, {
      durable_name: durable,
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(ackWaitMs),
      max_ack_pending: maxPending,
      // What was handed out too often is taken out in `next`: a message that the server gives up stays in its stream.
      max_deliver: -1,
    })
    return nats.streams.consumers.get(stream, durable)
  }
  let opening: Promise<Consumer> | null = null
  const consumer = (): Promise<Consumer> => {
    opening ??= openConsumer().catch((error) => {
      opening = null
      throw error
    })
    return opening
  }

  /** One question; null when there was no job in time. */
  const pull = async (signal: AbortSignal): Promise<JsMsg | null> => {
    const messages = await (await consumer()).fetch({ max_messages: 1, expires: pullMs })
    const close = () => void messages.close()
    signal.addEventListener('abort', close, { once: true })
    if (signal.aborted) close()
    try {
      for await (const message of messages) {
        if (!signal.aborted) return message
        message.nak()
      }
      return null
    } finally {
      signal.removeEventListener('abort', close)
    }
  }

  const jobOf = (message: JsMsg): Job => {
    const id = message.subject.slice(prefix.length)
    const delivery = message.info.deliveryCount
    let lastSign = performance.now()
    /** After the ack wait it is somebody else's, and what is said here would be said of that delivery. */
    const isOurs = () => performance.now() - lastSign < ackWaitMs
    const tell = (what: string, say: () => void) => {
      try {
        if (isOurs()) say()
      } catch (err) {
        log.warn({ err, id }, `a job's ${what} could not be told`)
      }
    }
    const over = () => tell('end', () => message.term())
    return {
      id,
      delivery,
      working: () =>
        tell('sign of life', () => {
          if (!nats.connected) return
          message.working()
          lastSign = performance.now()
        }),
      async done() {
        if (!isOurs()) return
        await message.ackAck().catch((err) => log.warn({ err, id }, "a job's end could not be told"))
      },
      async again(delayMs) {
        if (delivery >= maxDeliveries) over()
        else tell('return', () => message.nak(delayMs))
      },
    }
  }

  // Made now, so that a server that refuses them is known at start.
  await consumer()

  return {
    async add(id) {
      checkJobId(id)
      if (ended.signal.aborted) throw new MeshError('UNAVAILABLE', 'the jobs were closed')
      try {
        await keeper.publish(`${prefix}${id}`, new Uint8Array())
      } catch (error) {
        if (isWaitingAlready(error)) return
        throw new MeshError('UNAVAILABLE', 'the job can not be put into the queue, try again later', error)
      }
    },
    async next(signal) {
      const stop = AbortSignal.any([signal, ended.signal])
      while (!stop.aborted) {
        try {
          const message = await pull(stop)
          if (!message) continue
          if (message.info.deliveryCount <= maxDeliveries) return jobOf(message)
          log.warn({ id: message.subject.slice(prefix.length) }, 'a job was handed out too often and is forgotten')
          message.term()
        } catch (err) {
          opening = null
          keeper.forget()
          log.debug({ err }, 'no job can be had')
          await sleep(retryMs, undefined, { signal: stop }).catch(() => undefined)
        }
      }
      return null
    },
    async [Symbol.asyncDispose]() {
      ended.abort()
      // What was told last is still on its way.
      if (nats.connected) await nats.connection.flush().catch(() => undefined)
    },
  }
}

function isWaitingAlready(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.code === storeFailed && /per subject/.test(error.message)
}
