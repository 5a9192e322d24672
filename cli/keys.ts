import { type Command, Option } from 'commander'
import { createGenerationClient, type GenerationClient } from '../services/generation/client.ts'
import { type Address, formatAddress, parseAddress } from '../services/lib/mesh/address.ts'
import { addressesSetting, ConfigError, readConfig, serverShape } from '../services/lib/mesh/config.ts'
import { MeshError } from '../services/lib/mesh/errors.ts'
import type { Timestamp__Output as Timestamp } from '../services/lib/mesh/generated/google/protobuf/Timestamp.ts'
import type { ApiKey__Output as ApiKey } from '../services/lib/mesh/generated/moma/generation/v1/ApiKey.ts'
import { tlsOf } from '../services/lib/mesh/running.ts'
import { readHolder } from '../services/lib/process-lock/lock.ts'
import { defaultAddress } from './serve/names.ts'
import { dataFolder, startLock } from './start/data.ts'

/** Where `moma serve generation` is when nothing else is said. */
const usual = defaultAddress('generation')

const scopes = { read: 'SCOPE_READ', write: 'SCOPE_WRITE' } as const

interface CreateOptions {
  readonly tenant: string
  readonly name: string
  readonly scope: keyof typeof scopes | 'all'
  readonly json?: boolean
}

export function addKeys(program: Command): void {
  const keys = program
    .command('keys')
    .summary('API keys: make, list, revoke')
    .description(
      'API keys of a mesh: of the generation service at MOMA_GENERATION, or of the `moma start` that runs on MOMA_DATA, ' +
        `or else of the service at ${formatAddress(usual)}.`,
    )
  keys
    .command('create')
    .description('makes a key and prints it, this once')
    .requiredOption('--tenant <name>', 'whose key it is: 1 to 64 of a-z, 0-9, "-"')
    .option('--name <text>', 'what it is for, up to 100 characters', '')
    .addOption(
      new Option('--scope <scope>', 'what it may be used for').choices([...Object.keys(scopes), 'all']).default('all'),
    )
    .option('--json', 'as JSON')
    .action((options: CreateOptions) => withGeneration((client) => create(client, options)))
  keys
    .command('list')
    .description('lists the keys, the newest first, by their first characters')
    .option('--tenant <name>', 'of this tenant alone', '')
    .option('--json', 'as JSON')
    .action(({ tenant, json }: { tenant: string; json?: boolean }) =>
      withGeneration(async (client) => {
        const { apiKeys } = await client.listApiKeys({ tenant })
        print(json, apiKeys.map(shown), apiKeys.map(line))
      }),
    )
  keys
    .command('revoke <id>')
    .description('ends a key at once')
    .option('--json', 'as JSON')
    .action((id: string, { json }: { json?: boolean }) =>
      withGeneration(async (client) => {
        const { apiKey } = await client.revokeApiKey({ id })
        if (apiKey) print(json, shown(apiKey), [line(apiKey)])
      }),
    )
}

async function create(client: GenerationClient, { tenant, name, scope, json }: CreateOptions): Promise<void> {
  const asked = scope === 'all' ? Object.values(scopes) : [scopes[scope]]
  const { secret, apiKey } = await client.createApiKey({ tenant, name, scopes: asked })
  if (!apiKey) throw new MeshError('INTERNAL', 'generation made no key')
  print(json, { secret, ...shown(apiKey) }, [secret])
  if (!json) process.stderr.write('This is the only time that the key is shown.\n')
}

/** Lines of text on stdout, or one line of JSON. */
function print(json: boolean | undefined, value: unknown, lines: readonly string[]): void {
  process.stdout.write(json ? `${JSON.stringify(value)}\n` : lines.map((text) => `${text}\n`).join(''))
}

function shown({ id, tenant, name, prefix, scopes: granted, createTime, revokeTime }: ApiKey) {
  const names = granted.map((scope) => scope.replace('SCOPE_', '').toLowerCase())
  return { id, tenant, name, prefix, scopes: names, createdAt: moment(createTime), revokedAt: moment(revokeTime) }
}

function line(key: ApiKey): string {
  const { id, tenant, name, prefix, scopes: granted, createdAt, revokedAt } = shown(key)
  const state = revokedAt ? `revoked ${revokedAt}` : `since ${createdAt}`
  return `${id}  ${prefix}…  ${tenant.padEnd(16)} ${granted.join('+').padEnd(10)} ${state}${name && `  ${name}`}`
}

function moment(time: Timestamp | null): string | null {
  return time && new Date(Number(time.seconds) * 1000 + time.nanos / 1e6).toISOString()
}

async function withGeneration(work: (client: GenerationClient) => Promise<void>): Promise<void> {
  const config = readConfig({ ...serverShape, MOMA_GENERATION: addressesSetting.optional() }, process.env)
  const { MOMA_GENERATION: named } = config
  const data = dataFolder(process.env)
  const started = named ? null : await addressOfStart(data)
  const addresses = named ?? [started ?? usual]
  using client = createGenerationClient({ addresses, tls: started ? null : await tlsOf(config) })
  try {
    await work(client)
  } catch (error) {
    const isThere = !(error instanceof MeshError) || error.code !== 'UNAVAILABLE'
    if (named || started || isThere) throw error
    const nobody = `no moma start runs on ${data} and nothing serves at ${formatAddress(usual)}`
    throw new ConfigError(`MOMA_GENERATION is missing, ${nobody}; allowed: host:port of a generation service.`)
  }
}

/** Where the generation service of the `moma start` on this folder is; null where none runs. Throws while it starts. */
async function addressOfStart(data: string): Promise<Address | null> {
  const holder = await readHolder(startLock(data))
  if (!holder) return null
  const address = parseAddress(holder.addresses.generation ?? '')
  if (address) return address
  throw new ConfigError(`The moma start on ${data} is not ready yet; allowed: asking again once it says that it is.`)
}
