import { isLoopback } from '../../gateway/config.ts'
import { type Address, formatAddress } from '../../services/lib/mesh/address.ts'
import { ConfigError, readConfig } from '../../services/lib/mesh/config.ts'
import { safetyShape } from '../../services/safety/config.ts'

/**
 * Throws a ConfigError where others are let in than those on this machine, the bundle has no network that sees persons, and
 * MOMA_SAFETY_REQUIRE does not say that this will do. `addresses` are where services listen.
 */
export async function requireSight(
  env: NodeJS.ProcessEnv,
  bundle: string,
  addresses: readonly Address[],
): Promise<void> {
  const { MOMA_SAFETY_REQUIRE } = readConfig(safetyShape, env)
  const door = openDoor(env, addresses)
  if (MOMA_SAFETY_REQUIRE || door === null) return
  const { openBundle } = await import('../../services/lib/bundles/bundles.ts')
  const { manifest } = await openBundle(bundle)
  if (manifest.networks.personDetector) return
  const judged = `the bundle ${bundle} has no person detector, and ${door} lets in others than those on this machine`
  throw new ConfigError(
    `MOMA_SAFETY_REQUIRE is missing: ${judged}; allowed: a bundle that has one, or the value words, to judge by words alone.`,
  )
}

/** What lets others in; null where nothing does, as far as this process knows. */
function openDoor(env: NodeJS.ProcessEnv, addresses: readonly Address[]): string | null {
  const { HOST: host, MOMA_PUBLIC_URL: url } = env
  const open = addresses.find((address) => !isLoopback(address.host))
  if (open) return `MOMA_LISTEN ${formatAddress(open)}`
  if (host && !isLoopback(host)) return `HOST ${host}`
  return url && URL.canParse(url) && !isLoopback(new URL(url).hostname) ? `MOMA_PUBLIC_URL ${url}` : null
}
