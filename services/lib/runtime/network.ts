import { Worker } from 'node:worker_threads'
import type { Answer, Order, WorkerData } from './protocol.ts'
import type { ExecutionOptions, Recipe } from './recipe.ts'
import type { HostTensor } from './tensor.ts'

/** A network in a thread of its own. */
export interface Network {
  readonly name: string
  /** Memory that its weights take once loaded. */
  readonly weightBytes: number
  /** Settles when its thread has ended, for whatever reason. */
  readonly ended: Promise<void>
  /** Reads the weights; once, before the first run. */
  load(): Promise<void>
  /** Runs are done one after another. Throws a NetworkError that names network and cause. */
  run(feeds: Readonly<Record<string, HostTensor>>): Promise<Readonly<Record<string, HostTensor>>>
  /**
   * Ends the thread and frees everything. Runs under way fail at once; the promise settles when what the runtime had
   * begun for them has come to its end too, since nothing stops that. May be called again.
   */
  dispose(): Promise<void>
}

/** A network that can't be made, or failed. */
export class NetworkError extends Error {
  override readonly name = 'NetworkError'
  readonly network: string
  /** Whether its thread has ended: another one may do what this one did not. */
  readonly lost: boolean
  /** Whether its graph could not be built, which is the weights' or the config's fault. */
  readonly unbuilt: boolean

  constructor(network: string, reason: string, { lost = false, unbuilt = false } = {}) {
    super(`${network}: ${reason}`)
    this.network = network
    this.lost = lost
    this.unbuilt = unbuilt
  }
}

/** Longest wait for a thread to close in good order before it is ended. */
const closeTimeoutMs = 5000

/** Starts a thread and emits the network's graph in it; the weights are read by `load`. */
export async function openNetwork(recipe: Recipe, execution: ExecutionOptions): Promise<Network> {
  const thread = startThread(recipe, execution)
  try {
    const emitted = await thread.ask({ kind: 'emit' })
    if (emitted.kind !== 'emitted') throw new NetworkError(recipe.name, `answered '${emitted.kind}' to 'emit'`)
    return {
      name: recipe.name,
      weightBytes: emitted.weightBytes,
      ended: thread.exited,
      load: async () => void (await thread.ask({ kind: 'load' })),
      run: async (feeds) => {
        const answer = await thread.ask({ kind: 'run', feeds })
        if (answer.kind !== 'results') throw new NetworkError(recipe.name, `answered '${answer.kind}' to 'run'`)
        return answer.results
      },
      dispose: thread.end,
    }
  } catch (error) {
    await thread.end()
    throw error
  }
}

interface Waiting {
  readonly kind: Order['kind']
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: Error) => void
}

type Question = Order extends infer O ? (O extends { id: number } ? Omit<O, 'id'> : never) : never

function startThread(recipe: Recipe, execution: ExecutionOptions) {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    workerData: { recipe, execution } satisfies WorkerData,
    name: recipe.name,
  })
  const waiting = new Map<number, Waiting>()
  let nextId = 0
  let ended: NetworkError | undefined
  let ending: Promise<void> | undefined

  const endAll = (reason: string) => {
    ended ??= new NetworkError(recipe.name, reason, { lost: true })
    for (const { reject } of waiting.values()) reject(ended)
    waiting.clear()
    worker.unref()
  }
  const exited = new Promise<void>((resolve) =>
    worker.once('exit', (code) => resolve(endAll(ending ? 'was disposed' : `its thread ended with code ${code}`))),
  )
  worker.on('error', (error) => endAll(`its thread failed: ${error instanceof Error ? error.message : String(error)}`))
  worker.on('message', (answer: Answer) => {
    const asked = waiting.get(answer.id)
    waiting.delete(answer.id)
    // A thread that nobody waits for must not keep the process alive.
    if (waiting.size === 0 && !ending) worker.unref()
    if (answer.kind === 'failed')
      asked?.reject(new NetworkError(recipe.name, answer.message, { unbuilt: asked.kind === 'emit' }))
    else asked?.resolve(answer)
  })
  worker.unref()

  const ask = (question: Question): Promise<Answer> =>
    new Promise((resolve, reject) => {
      if (ended) return reject(ended)
      const id = nextId++
      waiting.set(id, { kind: question.kind, resolve, reject })
      worker.ref()
      worker.postMessage({ ...question, id } as Order)
    })

  const end = (): Promise<void> => {
    ending ??= (async () => {
      const inRuntime = [...waiting.values()].some(({ kind }) => kind === 'load' || kind === 'run')
      if (inRuntime) {
        // To terminate a thread that is inside onnxruntime aborts the whole process once that returns: it leaves by itself.
        endAll('was disposed')
        worker.ref()
        worker.postMessage({ kind: 'close', id: nextId++ } satisfies Order)
        return exited
      }
      if (waiting.size === 0 && !ended) await closeInOrder()
      endAll('was disposed')
      await worker.terminate()
    })()
    return ending
  }
  /** Lets the thread free its session and leave by itself, for a while. */
  const closeInOrder = async (): Promise<void> => {
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, closeTimeoutMs)
    })
    const closed = ask({ kind: 'close' }).then(() => exited)
    await Promise.race([closed.catch(() => undefined), timeout])
    clearTimeout(timer)
  }
  return { ask, end, exited }
}
