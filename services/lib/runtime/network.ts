import { NetworkError } from './errors.ts'
import type { ExecutionOptions, Recipe } from './recipe.ts'
import type { HostTensor } from './tensor.ts'
import { type NetworkThread, startThread } from './thread.ts'

/** A network in a thread. */
export interface Network {
  readonly name: string
  /** Memory that its weights take once loaded. */
  readonly weightBytes: number
  /** Settles when it is disposed of, its provider is broken, or its thread has ended for whatever reason: with that. */
  readonly ended: Promise<NetworkError>
  /** Reads the weights; once, before the first run. */
  load(): Promise<void>
  /** Runs are done one after another. Throws a NetworkError that names network and cause. */
  run(feeds: Readonly<Record<string, HostTensor>>): Promise<Readonly<Record<string, HostTensor>>>
  /**
   * Frees everything, and ends the thread with its last network. Runs under way fail at once; the promise settles when
   * what the runtime had begun for them has come to its end too, since nothing stops that. May be called again.
   */
  dispose(): Promise<void>
}

/** Emits the network's graph in a thread, one of its own if none is given; the weights are read by `load`. */
export async function openNetwork(
  recipe: Recipe,
  execution: ExecutionOptions,
  thread: NetworkThread = startThread(execution, recipe.name),
): Promise<Network> {
  const { name } = recipe
  const seat = thread.join(recipe)
  try {
    const emitted = await seat.ask({ kind: 'emit', recipe })
    if (emitted.kind !== 'emitted') throw new NetworkError(name, `answered '${emitted.kind}' to 'emit'`)
    return {
      name,
      weightBytes: emitted.weightBytes,
      ended: seat.left,
      load: async () => void (await seat.ask({ kind: 'load' })),
      run: async (feeds) => {
        const answer = await seat.ask({ kind: 'run', feeds })
        if (answer.kind !== 'results') throw new NetworkError(name, `answered '${answer.kind}' to 'run'`)
        return answer.results
      },
      dispose: seat.leave,
    }
  } catch (error) {
    await seat.leave()
    throw error
  }
}
