import { JetStreamApiError, type PubAck, type StreamConfig, type StreamInfo } from '@nats-io/jetstream'
import { MeshError } from './errors.ts'
import type { Nats } from './nats.ts'

/** Keeps a stream in being: it is made anew when the server has lost it. */
export interface StreamKeeper {
  /** What the server says of the stream, which is made or brought up to date first; asked once until `forget`. */
  ensure(): Promise<StreamInfo>
  /** The stream may have gone: ask again. */
  forget(): void
  /** Publishes, once more where the stream had gone. */
  publish(subject: string, data: Uint8Array): Promise<PubAck>
}

export type StreamBounds = Partial<StreamConfig> & { readonly name: string; readonly subjects: string[] }

/** JSStreamNameExistErr: it is there with another configuration. */
const isThereOtherwise = 10058

export function createStreamKeeper(nats: Nats, config: StreamBounds): StreamKeeper {
  let known: Promise<StreamInfo> | null = null

  /** What the server says of its bounds helps whoever runs it. */
  const refused = (error: unknown): never => {
    const reason = error instanceof Error ? error.message : String(error)
    throw new MeshError('FAILED_PRECONDITION', `NATS: the stream ${config.name} can't be made: ${reason}`, error)
  }
  const make = async (): Promise<StreamInfo> => {
    const { streams } = nats.manager
    await nats.ready()
    try {
      return await streams.add(config)
    } catch (error) {
      if (!(error instanceof JetStreamApiError)) throw error
      if (error.code === isThereOtherwise) return await streams.update(config.name, config).catch(refused)
      return refused(error)
    }
  }
  const keeper: StreamKeeper = {
    ensure() {
      known ??= make().catch((error) => {
        known = null
        throw error
      })
      return known
    },
    forget() {
      known = null
    },
    async publish(subject, data) {
      await keeper.ensure()
      await nats.ready()
      try {
        return await nats.streams.publish(subject, data)
      } catch (error) {
        // Nobody listens to the subject: the stream was lost.
        if (!isNobody(error)) throw error
        keeper.forget()
        await keeper.ensure()
        return nats.streams.publish(subject, data)
      }
    },
  }
  nats.onReconnect(() => keeper.forget())
  return keeper
}

const isNobody = (error: unknown) =>
  error instanceof Error && /^(NoRespondersError|JetStreamNotEnabled|StreamNotFoundError)$/.test(error.name)
