import {
  Client,
  type ClientReadableStream,
  type ClientWritableStream,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js'
import { type Address, formatAddress } from './address.ts'
import { callMetadata } from './call-metadata.ts'
import type { Contract } from './contracts.ts'
import type { Copy, Requests } from './copy.ts'
import { maxMessageBytes } from './grpc-server.ts'
import { healthContract, type ServingStatus } from './health.ts'
import { channelCredentials, type TlsIdentity } from './tls.ts'

/** Wait before a copy that is gone is looked for again; doubled up to the largest, and scattered. */
const reconnectMs = { first: 50, largest: 1000 }

/** Bytes that a server may send before it is told to go on: HTTP/2's 64 KiB would make a picture wait for that many times. */
export const flowControlWindow = 2 * 2 ** 20

/** A copy over the network. */
export function createGrpcCopy({ definition, name }: Contract, address: Address, tls: TlsIdentity | null): Copy {
  const target = formatAddress(address)
  const client = new Client(target, channelCredentials(tls), {
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_send_message_length': maxMessageBytes,
    // Retries are the caller's: it knows what may be repeated.
    'grpc.enable_retries': 0,
    'grpc.initial_reconnect_backoff_ms': reconnectMs.first,
    'grpc.min_reconnect_backoff_ms': reconnectMs.first,
    'grpc.max_reconnect_backoff_ms': reconnectMs.largest,
    'grpc-node.flow_control_window': flowControlWindow,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
  })
  return {
    address: target,
    call(method, input, { deadline, signal }) {
      const { path, requestStream, responseStream, requestSerialize, responseDeserialize } = definition[method]!
      const metadata = callMetadata()
      const options = { deadline }
      if (responseStream) {
        const answers = client.makeServerStreamRequest(
          path,
          requestSerialize,
          responseDeserialize,
          input,
          metadata,
          options,
        )
        return readAll(answers, signal)
      }
      return respondOnce(signal, (respond) => {
        if (!requestStream) {
          return client.makeUnaryRequest(path, requestSerialize, responseDeserialize, input, metadata, options, respond)
        }
        const call = client.makeClientStreamRequest(
          path,
          requestSerialize,
          responseDeserialize,
          metadata,
          options,
          respond,
        )
        send(call, (input as Requests)()).catch(() => call.cancel())
        return call
      })
    },
    watch: (signal, tell) => watchHealth(client, name, signal, tell),
    close: () => client.close(),
  }
}

/** One answer as a stream of one, cancelled by the signal. */
async function* respondOnce<T>(
  signal: AbortSignal | undefined,
  start: (respond: (error: ServiceError | null, response?: T) => void) => { cancel(): void },
): AsyncGenerator<T> {
  const answer = Promise.withResolvers<T>()
  const call = start((error, response) => (error ? answer.reject(error) : answer.resolve(response as T)))
  const cancel = () => call.cancel()
  signal?.addEventListener('abort', cancel, { once: true })
  try {
    yield await answer.promise
  } finally {
    signal?.removeEventListener('abort', cancel)
  }
}

async function* readAll<T>(call: ClientReadableStream<T>, signal: AbortSignal | undefined): AsyncGenerator<T> {
  const cancel = () => call.cancel()
  signal?.addEventListener('abort', cancel, { once: true })
  // What is said after the last item was taken has no listener of its own.
  call.on('error', () => undefined)
  try {
    yield* call as AsyncIterable<T>
  } finally {
    signal?.removeEventListener('abort', cancel)
    call.cancel()
  }
}

/** Writes no faster than the other side reads; what goes wrong is told by the call's answer. */
async function send<T>(call: ClientWritableStream<T>, requests: Iterable<T> | AsyncIterable<T>): Promise<void> {
  let gone = false
  let wake = () => {}
  const end = () => {
    gone = true
    wake()
  }
  // Once for the whole call: a large upload waits hundreds of times.
  call.on('drain', () => wake())
  for (const event of ['error', 'close', 'status']) call.on(event, end)
  for await (const request of requests) {
    if (gone || call.destroyed) return
    if (!call.write(request) && !gone) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  call.end()
}

/** Follows what a server says of a service, and asks again for as long as it is gone. */
function watchHealth(
  client: Client,
  service: string,
  signal: AbortSignal,
  tell: (serving: boolean, why: string) => void,
): void {
  const { path, requestSerialize, responseDeserialize } = healthContract.definition.Watch!
  let failures = 0
  let timer: NodeJS.Timeout | undefined
  let stream: ClientReadableStream<{ status: ServingStatus }> | undefined

  const watch = () => {
    const call = client.makeServerStreamRequest<object, { status: ServingStatus }>(
      path,
      requestSerialize,
      responseDeserialize,
      { service },
      new Metadata({ waitForReady: false }),
    )
    stream = call
    call.on('data', ({ status: health }) => {
      failures = 0
      tell(health === 'SERVING', health)
    })
    // Told of by 'status' too.
    call.on('error', () => undefined)
    call.on('status', ({ code, details }) => {
      if (signal.aborted) return
      // A server without a health service serves, says the specification.
      tell(code === status.UNIMPLEMENTED, details)
      const waitMs = Math.min(reconnectMs.first * 2 ** failures++, reconnectMs.largest)
      timer = setTimeout(watch, waitMs * (0.5 + Math.random())).unref()
    })
  }
  signal.addEventListener('abort', () => {
    clearTimeout(timer)
    stream?.cancel()
  })
  watch()
}
