import type { Command } from 'commander'
import { formatAddress, parseAddress } from '../services/lib/mesh/address.ts'
import { ConfigError, readConfig, serverShape } from '../services/lib/mesh/config.ts'
import { exitCodes } from './codes.ts'

/** Of one question. */
const timeoutMs = 3000

export function addHealth(program: Command): void {
  program
    .command('health <address>')
    .summary('ask a service or the gateway whether it serves')
    .description(
      'Asks a service at host:port, or a gateway at http://host:port. Exit code 0 when it serves, 1 when not.',
    )
    .action(async (address: string) => {
      const serves = /^https?:/.test(address) ? await gatewayIsReady(address) : await serviceServes(address)
      process.stdout.write(serves ? 'serving\n' : 'not serving\n')
      process.exitCode = serves ? exitCodes.done : exitCodes.fault
    })
}

/** Whether the gateway at this address has found a generation service. */
export async function gatewayIsReady(url: string): Promise<boolean> {
  return fetch(`${url}/readyz`, { signal: AbortSignal.timeout(timeoutMs) }).then(
    async (response) => {
      await response.arrayBuffer()
      return response.ok
    },
    () => false,
  )
}

/** Whether all services at this address serve (grpc.health.v1); over TLS where MOMA_TLS_* say so. */
export async function serviceServes(text: string, env = process.env): Promise<boolean> {
  const address = parseAddress(text)
  if (!address) throw new ConfigError(`The address is ${JSON.stringify(text)}; allowed: host:port or http://host:port.`)
  const { Client } = await import('@grpc/grpc-js')
  const { healthContract } = await import('../services/lib/mesh/health.ts')
  const { tlsOf } = await import('../services/lib/mesh/running.ts')
  const { channelCredentials } = await import('../services/lib/mesh/tls.ts')
  const credentials = channelCredentials(await tlsOf(readConfig(serverShape, env)))
  const client = new Client(formatAddress(address), credentials)
  const { path, requestSerialize, responseDeserialize } = healthContract.definition.Check!
  try {
    return await new Promise((resolve) => {
      const call = { deadline: Date.now() + timeoutMs }
      client.makeUnaryRequest<object, { readonly status: string }>(
        path,
        requestSerialize,
        responseDeserialize,
        { service: '' },
        call,
        (error, answer) => resolve(!error && answer?.status === 'SERVING'),
      )
    })
  } finally {
    client.close()
  }
}
