import { Worker } from 'node:worker_threads'
import { NetworkError } from './errors.ts'
import type { Answer, Order, Question, WorkerData } from './protocol.ts'
import type { ExecutionOptions, Recipe } from './recipe.ts'

/** A thread for one network, or for several, which then wait for each other. */
export interface NetworkThread {
  /** Orders that it has not answered yet. */
  readonly pending: number
  readonly networks: number
  /** Whether it has ended, or will: no network may join it. */
  readonly closed: boolean
  join(recipe: Recipe): Seat
  /** Ends it if no network has ever joined. */
  release(): Promise<void>
}

/** A network's place in a thread. */
export interface Seat {
  /** Throws a NetworkError; after one that is `broken` the network leaves. Orders are carried out one after another. */
  ask(question: Question): Promise<Answer>
  /**
   * Frees what the network holds, and ends the thread with its last network. What is asked for fails at once; the
   * promise settles when what the runtime had begun has come to its end too. May be called again.
   */
  leave(): Promise<void>
  /** Settles when the network leaves, or its thread has ended: with why. */
  readonly left: Promise<NetworkError>
}

export function startThread(execution: ExecutionOptions, name: string): NetworkThread {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    workerData: { execution } satisfies WorkerData,
    name,
  })
  /** Who waits for an answer, by the order's id. */
  const orders = new Map<number, (answer: Answer) => void>()
  const seated = new Set<(reason: string) => void>()
  let nextId = 0
  let nextSeat = 0
  let closed = false

  const exited = new Promise<void>((resolve) =>
    worker.once('exit', (code) => {
      closed = true
      for (const fail of seated) fail(`its thread ended with code ${code}`)
      resolve()
    }),
  )
  worker.on('error', (error) => {
    closed = true
    for (const fail of seated) fail(`its thread failed: ${error instanceof Error ? error.message : String(error)}`)
  })
  worker.on('message', (answer: Answer) => {
    const asked = orders.get(answer.id)
    orders.delete(answer.id)
    // A thread that nobody waits for must not keep the process alive.
    if (orders.size === 0 && !closed) worker.unref()
    asked?.(answer)
  })
  worker.unref()

  /** Never settles once the thread has ended. */
  const send = (seat: number, question: Question): Promise<Answer> =>
    new Promise((answer) => {
      const id = nextId++
      orders.set(id, answer)
      worker.ref()
      worker.postMessage({ ...question, id, seat } as Order)
    })

  /**
   * The last network's leaving. The thread ends by itself: to terminate one that is inside onnxruntime, which it loads, and
   * loads, runs and frees networks with, aborts the whole process, and from here nobody can tell whether it is.
   */
  const close = (seat: number): Promise<void> => {
    closed = true
    void send(seat, { kind: 'close', last: true })
    return exited
  }

  return {
    get pending() {
      return orders.size
    },
    get networks() {
      return seated.size
    },
    get closed() {
      return closed
    },
    async release() {
      if (nextSeat > 0 || closed) return
      await close(nextSeat)
    },
    join(recipe) {
      const seat = nextSeat++
      const waiting = new Set<(error: NetworkError) => void>()
      const left = Promise.withResolvers<NetworkError>()
      let ended: NetworkError | undefined
      let leaving: Promise<void> | undefined

      const end = (error: NetworkError) => {
        ended ??= error
        for (const reject of waiting) reject(ended)
        waiting.clear()
        seated.delete(fail)
        left.resolve(ended)
      }
      const fail = (reason: string) => end(new NetworkError(recipe.name, reason, { lost: true }))
      seated.add(fail)

      const leave = async (): Promise<void> => {
        fail('was disposed')
        if (seated.size === 0) await close(seat)
        else await Promise.race([send(seat, { kind: 'close', last: false }), exited])
      }
      return {
        left: left.promise,
        ask: (question) =>
          new Promise((resolve, reject) => {
            if (ended) return reject(ended)
            waiting.add(reject)
            void send(seat, question).then((answer) => {
              waiting.delete(reject)
              if (answer.kind !== 'failed') return resolve(answer)
              const { message, broken } = answer
              const error = new NetworkError(recipe.name, message, { broken, unbuilt: question.kind === 'emit' })
              reject(error)
              if (!broken) return
              end(error)
              leaving ??= leave()
            })
          }),
        leave: () => {
          leaving ??= leave()
          return leaving
        },
      }
    },
  }
}
