import { InvalidInput, type Method, methods } from '../generation/request.ts'
import type { Manifest } from '../lib/bundles/manifest.ts'

/** The methods that a bundle has the networks for, in their usual order. */
export function methodsOf({ networks }: Manifest): Method[] {
  return methods.filter((method) => {
    if (method === 'ip-adapter') return networks.ipAdapter !== undefined && networks.vitH !== undefined
    return method !== 'no-mllm' || networks.vitH !== undefined
  })
}

/** The methods asked for, each once, in their usual order; all that the bundle has where nobody asked. Throws InvalidInput. */
export function chooseMethods(manifest: Manifest, asked: readonly Method[] | undefined): Method[] {
  const possible = methodsOf(manifest)
  const impossible = asked?.find((method) => !possible.includes(method))
  if (impossible)
    throw new InvalidInput('methods', impossible, `what this bundle has networks for: ${possible.join(', ')}`)
  return asked ? possible.filter((method) => asked.includes(method)) : possible
}
