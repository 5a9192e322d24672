import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { ProviderError, requireProvider } from './providers.ts'
import { executionProviders } from './recipe.ts'

test('what computes here is let through, anything else is refused with what is allowed here', async () => {
  await requireProvider('cpu')
  for (const provider of ['cuda', 'webgpu'] as const) {
    const refused = await requireProvider(provider).then(
      () => null,
      (error: unknown) => error,
    )
    // On a machine that has the device there is nothing to refuse.
    if (refused === null) continue
    expect(refused).toBeInstanceOf(ProviderError)
    const [, named, allowed] = /^provider is (\w+), allowed on this machine is (.*)$/.exec(
      String((refused as Error).message),
    )!
    expect(named).toBe(provider)
    expect(allowed!.split(' or ')).toContain('cpu')
    expect(allowed!.split(' or ')).not.toContain(provider)
  }
}, 60_000)

test('the probe tells a provider that computes from one that does not', () => {
  const probe = fileURLToPath(new URL('./provider-probe.ts', import.meta.url))
  const status = (provider: string) => spawnSync(process.execPath, [probe, provider]).status
  expect(status('cpu')).toBe(0)
  expect(status('abacus')).toBe(1)
  expect(executionProviders).toContain('cpu')
})
