import { type Network, openNetwork } from './network.ts'
import { type ExecutionOptions, type Recipe, recipeKey } from './recipe.ts'

/** Networks by recipe, opened when first needed and kept while they fit into a memory budget. */
export interface NetworkPool {
  /** Runs `use` with the loaded network, which stays loaded until `use` has settled. */
  with<T>(recipe: Recipe, use: (network: Network) => Promise<T>): Promise<T>
  /** Bytes of weights loaded now. */
  readonly loadedBytes: number
  /** Names of the loaded networks, the least recently used first. */
  readonly loaded: readonly string[]
  /** Told of every network that is lost: its thread ended by itself. The next use opens it anew. Returns what ends the telling. */
  onLost(listener: (recipe: Recipe) => void): () => void
  /** Ends all networks, also those in use or being loaded, whose users hear of it at once. May be called again. */
  dispose(): Promise<void>
}

export interface PoolOptions extends ExecutionOptions {
  /**
   * Bytes of weights that may be loaded at once. A network that alone is larger is loaded alone: the budget decides
   * what leaves, not what is possible.
   */
  readonly memoryBytes: number
  /** Told of every load, for progress and timings. */
  readonly onLoad?: (event: { readonly name: string; readonly weightBytes: number; readonly elapsedMs: number }) => void
}

interface Entry {
  readonly network: Promise<Network>
  /** As soon as its graph is emitted, before its weights are read. */
  opened: Network | null
  name: string
  bytes: number
  users: number
  lastUse: number
}

export function createNetworkPool(options: PoolOptions): NetworkPool {
  const entries = new Map<string, Entry>()
  const lostListeners = new Set<(recipe: Recipe) => void>()
  let clock = 0
  let disposed = false
  // Loads are made one after another: each first makes room for itself.
  let loading: Promise<unknown> = Promise.resolve()

  const byAge = () => [...entries].sort(([, a], [, b]) => a.lastUse - b.lastUse)
  const loadedBytes = () => [...entries.values()].reduce((sum, { bytes }) => sum + bytes, 0)

  const makeRoom = async (bytes: number) => {
    for (const [key, entry] of byAge()) {
      if (loadedBytes() + bytes <= options.memoryBytes) return
      if (entry.users > 0 || entry.bytes === 0) continue
      entries.delete(key)
      await (await entry.network).dispose()
    }
  }

  /** A network that has left the entries was let go; one that is still there ended by itself. */
  const forget = (entry: Entry, recipe: Recipe) => {
    const key = recipeKey(recipe)
    if (entries.get(key) !== entry) return
    entries.delete(key)
    for (const listener of lostListeners) listener(recipe)
  }

  const refuseDisposed = ({ name }: Recipe) => {
    if (disposed) throw new Error(`${name}: the networks were disposed`)
  }

  const load = async (entry: Entry, recipe: Recipe): Promise<Network> => {
    const started = performance.now()
    refuseDisposed(recipe)
    const network = await openNetwork(recipe, { provider: options.provider, threads: options.threads })
    entry.opened = network
    try {
      refuseDisposed(recipe)
      await makeRoom(network.weightBytes)
      entry.bytes = network.weightBytes
      await network.load()
    } catch (error) {
      const gone = network.dispose()
      // The next network may need the memory; after the pool's end there is none, and users are not kept waiting.
      if (!disposed) await gone
      throw error
    }
    options.onLoad?.({ name: recipe.name, weightBytes: network.weightBytes, elapsedMs: performance.now() - started })
    void network.ended.then(() => forget(entry, recipe))
    return network
  }

  const entryOf = (recipe: Recipe): Entry => {
    const key = recipeKey(recipe)
    const known = entries.get(key)
    if (known) return known
    const start = Promise.withResolvers<Network>()
    const entry: Entry = { network: start.promise, opened: null, name: recipe.name, bytes: 0, users: 0, lastUse: 0 }
    entries.set(key, entry)
    loading = loading
      .then(() => load(entry, recipe))
      .then(start.resolve, (error) => {
        entries.delete(key)
        start.reject(error)
      })
    return entry
  }

  return {
    async with(recipe, use) {
      refuseDisposed(recipe)
      const entry = entryOf(recipe)
      entry.users++
      entry.lastUse = ++clock
      try {
        return await use(await entry.network)
      } finally {
        entry.users--
      }
    },
    get loadedBytes() {
      return loadedBytes()
    },
    get loaded() {
      return byAge().map(([, { name }]) => name)
    },
    onLost(listener) {
      lostListeners.add(listener)
      return () => lostListeners.delete(listener)
    },
    async dispose() {
      disposed = true
      const all = [...entries.values()]
      entries.clear()
      await Promise.all(
        all.map(async (entry) => {
          await entry.opened?.dispose()
          // One that was just being emitted is opened by now, or never will be.
          await entry.network.catch(() => undefined)
          await entry.opened?.dispose()
        }),
      )
    },
  }
}
