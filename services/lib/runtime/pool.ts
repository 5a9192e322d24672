import { availableParallelism } from 'node:os'
import { NetworkError } from './errors.ts'
import { type Network, openNetwork } from './network.ts'
import { type ExecutionOptions, type Recipe, recipeKey } from './recipe.ts'
import { type NetworkThread, startThread } from './thread.ts'

/** Networks by recipe, opened when first needed and kept while they fit into a memory budget. */
export interface NetworkPool {
  /** Runs `use` with the loaded network, which stays loaded until `use` has settled. */
  with<T>(recipe: Recipe, use: (network: Network) => Promise<T>): Promise<T>
  /**
   * Begins to load small networks (256 MiB) that will be used, the first first. A larger one, one that finds no room
   * beside what is loaded, and one that fails are loaded when they are used, and fail then.
   */
  prepare(recipes: readonly Recipe[]): void
  /** Bytes of weights loaded now. */
  readonly loadedBytes: number
  /** Names of the loaded networks, the least recently used first. */
  readonly loaded: readonly string[]
  /**
   * Told of every network that is lost: its thread ended by itself, or its provider is broken. The next use opens it
   * anew. Returns what ends the telling.
   */
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
  /**
   * Threads that the networks share; each has its own if not said. Shared, they start sooner and run one after another:
   * right for whoever draws one picture at a time.
   */
  readonly sharedThreads?: number
  /** Told of every load, for progress and timings. */
  readonly onLoad?: (event: { readonly name: string; readonly weightBytes: number; readonly elapsedMs: number }) => void
  /**
   * Told of every network that is lost because the provider, which has loaded networks here, is broken, and how often in
   * a row that one has been: opening it anew has not helped where it was more than once.
   */
  readonly onBroken?: (error: NetworkError, inARow: number) => void
}

interface Entry {
  readonly recipe: Recipe
  readonly network: Promise<Network>
  readonly start: PromiseWithResolvers<Network>
  /** As soon as its graph is emitted, before its weights are read. */
  opened: Network | null
  loaded: boolean
  /** Weights that it takes, or is about to. */
  bytes: number
  users: number
  lastUse: number
}

/** Networks that load side by side: their threads start and their graphs are made on one core each. */
const mostAtOnce = Math.min(4, Math.max(2, availableParallelism()))

/** Weights that load side by side: while they do, a session may hold them twice. */
const mostBytesAtOnce = 256 * 2 ** 20

const threadName = (index: number) => `networks ${index + 1}`

export function createNetworkPool(options: PoolOptions): NetworkPool {
  const { provider, threads, keptIn } = options
  const execution = { provider, threads, keptIn }
  const entries = new Map<string, Entry>()
  const lostListeners = new Set<(recipe: Recipe) => void>()
  const queue: Entry[] = []
  /** How often each network, by its key, was lost to a broken provider since it last computed something. */
  const breaks = new Map<string, number>()
  let hasLoaded = false
  let clock = 0
  let disposed = false
  let starting = 0
  // They start while their first networks are still being looked for.
  let shared = Array.from({ length: options.sharedThreads ?? 0 }, (_, index) =>
    startThread(execution, threadName(index)),
  )
  // Room is made for one after another, and what was given is kept: nobody takes another's.
  let turn: Promise<unknown> = Promise.resolve()
  const readings = new Map<Promise<void>, number>()

  const byAge = () => [...entries.values()].sort((a, b) => a.lastUse - b.lastUse)
  const loadedBytes = () => [...entries.values()].reduce((sum, { bytes }) => sum + bytes, 0)
  const readBytes = () => [...readings.values()].reduce((sum, bytes) => sum + bytes, 0)
  const isOwn = (entry: Entry) => entries.get(recipeKey(entry.recipe)) === entry
  const leave = (entry: Entry) => isOwn(entry) && entries.delete(recipeKey(entry.recipe))

  /** The one of the shared threads that has least to do; undefined where each network has its own. */
  const sharedThread = (): NetworkThread | undefined => {
    if (options.sharedThreads === undefined) return undefined
    shared = shared.filter(({ closed }) => !closed)
    while (shared.length < options.sharedThreads) shared.push(startThread(execution, threadName(shared.length)))
    return shared.toSorted((a, b) => a.pending - b.pending || a.networks - b.networks)[0]
  }

  const makeRoom = async (entry: Entry, bytes: number) => {
    const isFull = () => loadedBytes() + bytes > options.memoryBytes
    if (entry.users === 0 && (isFull() || bytes > mostBytesAtOnce)) {
      leave(entry)
      throw new Error(`${entry.recipe.name}: is loaded when it is used`)
    }
    for (const other of byAge()) {
      if (!isFull()) break
      if (other.users > 0 || !other.loaded) continue
      leave(other)
      await (await other.network).dispose()
    }
    entry.bytes = bytes
    while (readings.size > 0 && readBytes() + bytes > mostBytesAtOnce) await Promise.race(readings.keys())
  }

  /** Reads the weights once there is room for them. */
  const read = async (entry: Entry, network: Network) => {
    const room = turn.then(() => makeRoom(entry, network.weightBytes))
    const begun = room.then(() => {
      refuseDisposed(entry.recipe)
      const reading = network.load()
      const settled = reading.catch(() => undefined).finally(() => readings.delete(settled))
      readings.set(settled, network.weightBytes)
      return { reading }
    })
    turn = begun.catch(() => undefined)
    await (await begun).reading
  }

  /** A network that has left the entries was let go; one that is still there ended by itself. */
  const forget = (entry: Entry, error: NetworkError) => {
    if (!leave(entry)) return
    // One that has never worked is no worse than it was: whoever wants it tries on.
    if (error.broken && hasLoaded) {
      const key = recipeKey(entry.recipe)
      const inARow = (breaks.get(key) ?? 0) + 1
      breaks.set(key, inARow)
      options.onBroken?.(error, inARow)
    }
    for (const listener of lostListeners) listener(entry.recipe)
  }

  const running = (entry: Entry, network: Network): Network => ({
    ...network,
    async run(feeds) {
      const results = await network.run(feeds)
      breaks.delete(recipeKey(entry.recipe))
      return results
    },
  })

  const refuseDisposed = ({ name }: Recipe) => {
    if (disposed) throw new Error(`${name}: the networks were disposed`)
  }

  const load = async (entry: Entry): Promise<Network> => {
    const { recipe } = entry
    const started = performance.now()
    refuseDisposed(recipe)
    const network = await openNetwork(recipe, execution, sharedThread())
    entry.opened = network
    try {
      refuseDisposed(recipe)
      await read(entry, network)
    } catch (error) {
      const gone = network.dispose()
      // The next network may need the memory; after the pool's end there is none, and users are not kept waiting.
      if (!disposed) await gone
      throw error
    }
    entry.loaded = true
    hasLoaded = true
    options.onLoad?.({ name: recipe.name, weightBytes: network.weightBytes, elapsedMs: performance.now() - started })
    void network.ended.then((error) => forget(entry, error))
    return running(entry, network)
  }

  const startNext = (): void => {
    while (starting < mostAtOnce && queue.length > 0) {
      const entry = queue.shift()!
      starting++
      load(entry)
        .then(entry.start.resolve, (error) => {
          if (error instanceof NetworkError && error.lost) forget(entry, error)
          leave(entry)
          entry.start.reject(error)
        })
        .finally(() => {
          starting--
          startNext()
        })
    }
  }

  const entryOf = (recipe: Recipe): Entry => {
    const key = recipeKey(recipe)
    const known = entries.get(key)
    if (known) return known
    const start = Promise.withResolvers<Network>()
    start.promise.catch(() => undefined)
    const entry = {
      recipe,
      network: start.promise,
      start,
      opened: null,
      loaded: false,
      bytes: 0,
      users: 0,
      lastUse: ++clock,
    }
    entries.set(key, entry)
    queue.push(entry)
    return entry
  }

  /** Whoever is waited for comes first. */
  const hasten = (entry: Entry) => {
    const place = queue.indexOf(entry)
    if (place > 0) queue.unshift(...queue.splice(place, 1))
  }

  return {
    async with(recipe, use) {
      refuseDisposed(recipe)
      const entry = entryOf(recipe)
      entry.users++
      entry.lastUse = ++clock
      hasten(entry)
      startNext()
      try {
        return await use(await entry.network)
      } finally {
        entry.users--
      }
    },
    prepare(recipes) {
      for (const recipe of disposed ? [] : recipes) entryOf(recipe)
      startNext()
    },
    get loadedBytes() {
      return loadedBytes()
    },
    get loaded() {
      return byAge().map(({ recipe }) => recipe.name)
    },
    onLost(listener) {
      lostListeners.add(listener)
      return () => lostListeners.delete(listener)
    },
    async dispose() {
      disposed = true
      const all = [...entries.values()]
      entries.clear()
      await Promise.all(shared.map((thread) => thread.release()))
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
