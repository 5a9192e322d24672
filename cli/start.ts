import type { Command } from 'commander'

export function addStart(program: Command): void {
  program
    .command('start')
    .summary('run the whole mesh on this machine')
    .description(
      'Runs every service and the gateway on loopback, and starts each again that ends. Ctrl-C ends all of it.',
    )
    .addHelpText('after', variables)
    .action(async () => {
      const { start } = await import('./start/start.ts')
      await start(process.env)
    })
}

const variables = `
Variables:
  HOST, PORT     where the gateway listens (127.0.0.1, 4000)
  MOMA_DATA      folder of database, pictures and locks (.moma)
  MOMA_BUNDLE    which networks draw (moma-mini where it is there, else moma-toy)
  DATABASE_URL   PostgreSQL instead of the embedded database
  NATS_URL       NATS with JetStream instead of queues inside the process
  LOG_LEVEL      fatal, error, warn, info, debug, trace or silent (warn)`
