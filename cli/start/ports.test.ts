import { once } from 'node:events'
import { createServer } from 'node:net'
import { openGateway } from '../serve/gateway.ts'
import { listenFault, requireFree } from './ports.ts'

/** Nobody's: RFC 5737 keeps it for documents. */
const elsewhere = '192.0.2.1'
const noAddressHere = (host: string) => ({
  name: 'ConfigError',
  message: `HOST is "${host}"; allowed: an address of this machine, such as 127.0.0.1.`,
})

test.each([elsewhere, 'no such host', 'nowhere.invalid'])('%s as HOST is refused by its name', async (host) => {
  await expect(requireFree(host, 4000)).rejects.toMatchObject(noAddressHere(host))
})

test('a port is free, taken, or not for this user', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  await expect(requireFree('127.0.0.1', port)).rejects.toMatchObject({
    name: 'ConfigError',
    message: `PORT is ${port}; allowed: a port that is free on 127.0.0.1.`,
  })
  server.close()
  await once(server, 'close')
  await requireFree('127.0.0.1', port)
  const refused = Object.assign(new Error('listen EACCES'), { code: 'EACCES', address: '127.0.0.1', port: 80 })
  expect(listenFault(refused, '127.0.0.1', 80)?.message).toMatch(/^PORT is 80; allowed: one that this user/)
})

test('a gateway alone says the same', async () => {
  const variables = { HOST: elsewhere, MOMA_AUTH: 'keys', LOG_LEVEL: 'silent' }
  await expect(openGateway(variables)).rejects.toMatchObject(noAddressHere(elsewhere))
}, 20_000)
