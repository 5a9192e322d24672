import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type ExecutionProvider, executionProviders } from './recipe.ts'

/** An execution provider that this machine can't compute with; the message is one sentence. */
export class ProviderError extends Error {
  override readonly name = 'ProviderError'
}

/** A driver's first start can take its time; one that hangs is as good as none. */
const probeTimeoutMs = 60_000

/**
 * Throws a ProviderError unless `provider` computes here. onnxruntime lists providers whose libraries are not installed
 * or find no device, so all but the CPU are tried on a small graph, in a process of their own.
 */
export async function requireProvider(provider: ExecutionProvider): Promise<void> {
  if (provider === 'cpu' || (await computes(provider))) return
  const others = executionProviders.filter((other) => other !== provider && other !== 'cpu')
  const able = await Promise.all(others.map(async (other) => ((await computes(other)) ? [other] : [])))
  throw new ProviderError(`provider is ${provider}, allowed on this machine is ${['cpu', ...able.flat()].join(' or ')}`)
}

function computes(provider: ExecutionProvider): Promise<boolean> {
  const probe = fileURLToPath(new URL('./provider-probe.ts', import.meta.url))
  return new Promise((resolve) =>
    execFile(process.execPath, [probe, provider], { timeout: probeTimeoutMs }, (error) => resolve(error === null)),
  )
}
