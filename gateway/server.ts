import { createServer, type Server } from 'node:http'
import type { Socket } from 'node:net'
import express, { type ErrorRequestHandler, type RequestHandler } from 'express'
import type { GenerationClient } from '../services/generation/client.ts'
import type { ProgressFeed } from '../services/generation/graphql/progress-feed.ts'
import type { Logger } from '../services/lib/mesh/log.ts'
import type { Access } from './access.ts'
import { createExecution } from './execution.ts'
import { openApollo } from './http/apollo.ts'
import { serveAssets } from './http/assets.ts'
import { openEventStreams } from './http/event-stream.ts'
import { serveExplorer } from './http/explorer.ts'
import { allowOrigins, guardHeaders, type OwnNames, refuseForeignHosts } from './http/headers.ts'
import { sendProblem } from './http/problem.ts'
import { carryRequestId } from './http/request.ts'
import { serveStudio } from './http/studio.ts'
import { takeUploads } from './http/uploads.ts'
import { openWebSockets } from './http/web-sockets.ts'
import { limits } from './limits/limits.ts'
import type { GatewayMetrics } from './metrics.ts'
import type { Supergraph } from './supergraph.ts'

export interface GatewayServerOptions extends OwnNames {
  readonly supergraph: Supergraph
  readonly generation: GenerationClient
  readonly progress: ProgressFeed
  readonly access: Access
  readonly metrics: GatewayMetrics
  readonly explorer: boolean
  readonly log: Logger
}

export interface GatewayServer {
  /** To listen with. */
  readonly http: Server
  /**
   * Takes nothing new, ends WebSockets (1001) and event streams, lets requests finish for at most `timeoutMs`. May be
   * called again.
   */
  drain(timeoutMs: number): Promise<void>
}

/**
 * How long a connection waits for its next request: longer than load balancers keep theirs, most of them a minute. Whoever
 * closes first must be the one that asks, or a request is on its way to a connection that is gone.
 */
const idleMs = 65_000

/** How often connections that have become idle are closed once nothing new is taken. */
const idleEveryMs = 100

/** Everything the gateway answers over HTTP, at one address. */
export async function createGatewayServer(options: GatewayServerOptions): Promise<GatewayServer> {
  const { supergraph, generation, access, metrics, log, origins, publicUrl } = options
  const execution = createExecution(options)
  const apollo = await openApollo({ supergraph, execution, access, log })
  const events = openEventStreams({ supergraph, execution, access, log })
  const webSockets = openWebSockets({ supergraph, execution, access, names: options, metrics, log })
  const json = express.json({ limit: limits.messageBytes, type: ['application/json', 'application/*+json'] })

  const app = express()
  app.disable('x-powered-by').disable('etag').set('query parser', 'simple')
  app.use(carryRequestId, guardHeaders, refuseForeignHosts(options))
  app.get('/healthz', (_, response) => void response.type('text/plain').send('ok\n'))
  app.get('/readyz', (_, response) => {
    const isReady = generation.serving > 0
    response
      .status(isReady ? 200 : 503)
      .type('text/plain')
      .send(isReady ? 'ready\n' : 'generation is not serving\n')
  })
  app.use(allowOrigins(origins))
  const assets = serveAssets({ generation, crossOrigin: origins.length > 0, log })
  app.route('/assets/:token').get(assets).all(only('GET, HEAD'))
  app.route('/uploads/:token').put(takeUploads({ generation, log })).all(only('PUT'))
  app.all('/graphql/stream', json, events.handle)
  const studio = serveStudio()
  if (studio) app.use(studio)
  if (options.explorer) {
    app.get('/graphql', (request, response, next) => {
      // Browsers that open the address, not programs that take anything.
      if (request.query.query !== undefined || !request.headers.accept?.includes('text/html')) return next()
      response.redirect('/explorer')
    })
    // Where the studio is not built.
    app.get('/', (_, response) => response.redirect('/explorer'))
    app.use(serveExplorer(publicUrl))
  }
  app.all('/graphql', json, apollo.handle)
  app.use((request, response) => sendProblem(response, 404, `there is nothing at ${request.path.slice(0, 80)}`))
  app.use(failures(log))

  const http = createServer({ maxHeaderSize: 16 * 1024, keepAliveTimeout: idleMs, headersTimeout: idleMs + 5000 }, app)
  http.on('upgrade', (request, socket, head) => webSockets.upgrade(request, socket, head))
  const connections = new Set<Socket>()
  http.on('connection', (socket) => {
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
  })

  let ending: Promise<void> | undefined
  return {
    http,
    drain(timeoutMs) {
      ending ??= (async () => {
        const closed = new Promise<void>((resolve) => http.close(() => resolve()))
        // Those whose request ends meanwhile would be kept for the next one.
        const idle = setInterval(() => http.closeIdleConnections(), idleEveryMs)
        http.closeIdleConnections()
        events.dispose()
        const enough = Promise.withResolvers<void>()
        const timer = setTimeout(() => {
          http.closeAllConnections()
          enough.resolve()
        }, timeoutMs)
        await webSockets.dispose()
        await Promise.race([closed, enough.promise])
        // The server itself knows none that asked for an upgrade any more.
        for (const socket of connections) socket.destroy()
        await closed
        clearInterval(idle)
        clearTimeout(timer)
        await apollo[Symbol.asyncDispose]()
      })()
      return ending
    },
  }
}

function only(methods: string): RequestHandler {
  return (request, response) => {
    response.set('allow', methods)
    sendProblem(response, 405, `the method is ${request.method}, allowed are ${methods}`)
  }
}

/** Errors of the middleware, such as bodies that are too large or no JSON; Express tells them by `status`. */
function failures(log: Logger): ErrorRequestHandler {
  return (error: Error & { status?: number; expose?: boolean }, _request, response, _next) => {
    const { status = 500, expose = false, message } = error
    if (status >= 500) log.error({ err: error }, 'request')
    if (status === 413) sendProblem(response, 413, `the body is too large, allowed are ${limits.messageBytes} bytes`)
    else sendProblem(response, status, expose ? message : 'something went wrong here')
  }
}
