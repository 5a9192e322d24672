import { contextContract, denoiseContract, safetyContract, visionContract } from '../../services/lib/mesh/contracts.ts'
import { MeshError } from '../../services/lib/mesh/errors.ts'
import type { Readiness } from '../../services/lib/mesh/readiness.ts'
import type { Hosted } from '../../services/lib/mesh/running.ts'
import type { Call, MeshService } from '../../services/lib/mesh/service.ts'
import type { ComputeName } from './names.ts'

const contracts = { vision: visionContract, context: contextContract, denoise: denoiseContract, safety: safetyContract }

/** Services that are hosted before they are opened: not ready until then, and calls wait. */
export interface Later extends AsyncDisposable {
  readonly services: readonly MeshService[]
  /** Throws when they can't be opened, or can't serve any more. */
  readonly failed: Promise<never>
  /** May be called again. */
  open(): void
}

/** `open` gives the services in the order of `names`. */
export function openLater(names: readonly ComputeName[], open: () => Promise<Hosted>): Later {
  const hosted = Promise.withResolvers<Hosted>()
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => undefined)
  hosted.promise.then((opened) => opened.failed).catch(failed.reject)
  let begun = false
  const begin = (opening: () => Promise<Hosted>) => {
    if (begun) return
    begun = true
    hosted.resolve(opening())
  }
  const nothing = async (): Promise<never> => {
    throw new MeshError('UNAVAILABLE', 'the server is shutting down')
  }
  return {
    services: names.map((name, index) =>
      lateService(contracts[name], async () => (await hosted.promise).services[index]!),
    ),
    failed: failed.promise,
    open: () => begin(open),
    async [Symbol.asyncDispose]() {
      begin(nothing)
      await hosted.promise.then(
        (opened) => opened.dispose(),
        () => undefined,
      )
    },
  }
}

type Method = (input: unknown, call: Call) => unknown

function lateService(contract: MeshService['contract'], opened: () => Promise<MeshService>): MeshService {
  const methodOf = async (name: string) => (await opened()).methods[name] as Method
  const methods = Object.entries(contract.definition).map(([name, { responseStream }]): [string, Method] => [
    name,
    responseStream
      ? async function* (input, call) {
          yield* (await methodOf(name))(input, call) as AsyncIterable<unknown>
        }
      : async (input, call) => (await methodOf(name))(input, call),
  ])
  return { contract, methods: Object.fromEntries(methods), readiness: lateReadiness(opened) }
}

function lateReadiness(opened: () => Promise<MeshService>): Readiness {
  const listeners = new Set<(ready: boolean) => void>()
  const tell = (ready: boolean) => {
    for (const listener of listeners) listener(ready)
  }
  let readiness: Readiness | undefined
  let disposed = false
  // Whoever opens them hears of a failure.
  opened().then(
    (service) => {
      if (disposed) return service.readiness.dispose()
      readiness = service.readiness
      readiness.onChange(tell)
      tell(readiness.ready)
    },
    () => undefined,
  )
  return {
    get ready() {
      return readiness?.ready ?? false
    },
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    dispose() {
      disposed = true
      readiness?.dispose()
      listeners.clear()
    },
  }
}
