import { randomUUID } from 'node:crypto'
import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import type { ExecutionArgs, GraphQLError } from 'graphql'
import { CloseCode, handleProtocols, makeServer } from 'graphql-ws'
import { type WebSocket, WebSocketServer } from 'ws'
import { type Logger, withCallFields } from '../../services/lib/mesh/log.ts'
import type { Access } from '../access.ts'
import { presentError } from '../errors.ts'
import type { Execution, OperationCall } from '../execution.ts'
import { limits } from '../limits/limits.ts'
import { tooMuch } from '../limits/rules.ts'
import type { GatewayMetrics } from '../metrics.ts'
import { prepareOperation } from '../prepare.ts'
import type { Supergraph } from '../supergraph.ts'
import { isForUs, mayConnect, type OwnNames } from './headers.ts'

export interface WebSocketOptions {
  readonly supergraph: Supergraph
  readonly execution: Execution
  readonly access: Access
  readonly names: OwnNames
  readonly metrics: GatewayMetrics
  readonly log: Logger
  /** A socket is asked this often whether it lives, and ended when it has not answered until the next time. */
  readonly pingMs?: number
}

export interface GraphQLOverWebSocket {
  /** Takes an HTTP upgrade of the server. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
  /** Says "going away" to all (1001), and ends those that don't hear it. */
  dispose(): Promise<void>
}

interface Extra {
  readonly request: IncomingMessage
  readonly socket: WebSocket
  /** From the connection's parameters or its headers. */
  authorization: string | undefined
  /** Aborted once the socket is closed. */
  readonly gone: AbortSignal
}

/** Bytes that may wait for a client that does not read. */
const mostBuffered = 16 * 2 ** 20
/** How long a client may take to close its side. */
const closeMs = 1000

/** GraphQL over WebSocket (graphql-ws, PROTOCOL.md: graphql-transport-ws). */
export function openWebSockets(options: WebSocketOptions): GraphQLOverWebSocket {
  const { supergraph, execution, access, names, metrics, log, pingMs = 12_000 } = options
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: true,
    maxPayload: limits.messageBytes,
    perMessageDeflate: false,
    handleProtocols,
  })
  const present = (errors: readonly GraphQLError[]) => errors.map((error) => presentError(error, log))

  const protocol = makeServer<Record<string, unknown>, Extra>({
    async onConnect({ connectionParams, extra }) {
      const given = connectionParams?.authorization ?? connectionParams?.Authorization
      extra.authorization = typeof given === 'string' ? given : extra.request.headers.authorization
      try {
        await access.identify(extra.authorization)
        return true
      } catch (error) {
        const { message, extensions } = presentError(error, log)
        const isRefusal = extensions?.code === 'UNAUTHENTICATED'
        extra.socket.close(isRefusal ? CloseCode.Forbidden : tryAgainLater, message.slice(0, 120))
        return true
      }
    },
    onSubscribe({ subscriptions, extra }, _, payload) {
      if (Object.keys(subscriptions).length > limits.operationsPerSocket) {
        return [tooMuch(`this socket has ${limits.operationsPerSocket} operations already, allowed are no more`)]
      }
      const operation = prepareOperation(supergraph.schema, payload)
      if (!('document' in operation)) return operation
      const { authorization, gone: signal } = extra
      const call: OperationCall = {
        operation,
        variables: payload.variables,
        identify: () => access.identify(authorization),
        signal,
      }
      return {
        schema: supergraph.schema,
        document: operation.document,
        operationName: payload.operationName,
        contextValue: call,
      } as ExecutionArgs
    },
    execute: ({ contextValue }) => execution.execute(contextValue as OperationCall),
    subscribe: ({ contextValue }) => execution.subscribe(contextValue as OperationCall),
    onNext: (_, __, ___, ____, { errors, ...result }) =>
      (errors ? { ...result, errors: present(errors) } : result) as never,
    onError: (_, __, ___, errors) => present(errors),
  })

  sockets.on('connection', (socket: WebSocket, request: IncomingMessage) => {
    metrics.sockets(1)
    const gone = new AbortController()
    socket.on('error', (error) => log.info({ reason: error.message }, 'websocket'))
    const closed = protocol.opened(
      {
        protocol: socket.protocol,
        send: (data) => send(socket, data),
        close: (code, reason) => socket.close(code, reason),
        onMessage(take) {
          socket.on('message', (data) => {
            withCallFields({ requestId: randomUUID() }, () => take(String(data))).catch((error) => {
              log.error({ err: error }, 'websocket message')
              socket.close(CloseCode.InternalServerError, 'Internal server error')
            })
          })
        },
      },
      { request, socket, authorization: undefined, gone: gone.signal },
    )
    const stopPings = keepAlive(socket, pingMs)
    socket.once('close', (code, reason) => {
      metrics.sockets(-1)
      stopPings()
      gone.abort()
      closed(code, String(reason)).catch((error) => log.error({ err: error }, 'websocket close'))
    })
  })

  return {
    upgrade(request, socket, head) {
      socket.on('error', () => socket.destroy())
      const { host, origin } = request.headers
      if (request.url?.split('?')[0] !== '/graphql') return refuse(socket, 404)
      if (!isForUs(host, names)) return refuse(socket, 421)
      if (!mayConnect(origin, host, names)) return refuse(socket, 403)
      if (sockets.clients.size >= limits.sockets) return refuse(socket, 503)
      let taken = false
      sockets.handleUpgrade(request, socket, head, (client) => {
        taken = true
        sockets.emit('connection', client, request)
      })
      if (!taken) endSoon(socket)
    },
    async dispose() {
      const clients = [...sockets.clients]
      const ends = clients.map((client) => new Promise((resolve) => client.once('close', resolve)))
      for (const client of clients) client.close(1001, 'Going away')
      sockets.close()
      const timer = setTimeout(() => {
        for (const client of clients) client.terminate()
      }, closeMs)
      await Promise.all(ends)
      clearTimeout(timer)
    },
  }
}

/** Of the registry at iana.org/assignments/websocket. */
const tryAgainLater = 1013

/** Resolves once the message has left, so that a source waits for its reader. */
function send(socket: WebSocket, data: string): Promise<void> {
  return new Promise((resolve) => {
    if (socket.readyState !== socket.OPEN) return resolve()
    if (socket.bufferedAmount > mostBuffered) socket.terminate()
    // A failure closes the socket, which is told there.
    socket.send(data, () => resolve())
  })
}

/** Half of a connection may be gone without a word: one that misses a whole round is ended. */
function keepAlive(socket: WebSocket, pingMs: number): () => void {
  let alive = true
  socket.on('pong', () => {
    alive = true
  })
  const timer = setInterval(() => {
    if (!alive) return socket.terminate()
    alive = false
    socket.ping()
  }, pingMs)
  return () => clearInterval(timer)
}

/** A client that does not read would keep its connection by an answer that can't leave. */
function endSoon(socket: Duplex): void {
  const timer = setTimeout(() => socket.destroy(), closeMs)
  socket.once('close', () => clearTimeout(timer))
}

function refuse(socket: Duplex, status: number): void {
  // The client may keep its side open for as long as it likes.
  socket.once('finish', () => socket.destroy())
  endSoon(socket)
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}
