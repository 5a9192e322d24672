import { type Command, Option } from 'commander'
import { networksWhenTold } from './serve/told.ts'

export function addServe(program: Command): void {
  program
    .command('serve <service...>')
    .summary('run one service of the mesh, several, or the gateway')
    .description(
      'Runs vision, context, denoise, safety and generation, one or several in a process, or the gateway. Each is where ' +
        'the others look for it, or all of a process at MOMA_LISTEN. SIGTERM lets calls under way finish; a second one ' +
        'ends at once.',
    )
    .addHelpText('after', variables)
    .addOption(new Option(networksWhenTold).hideHelp())
    .action(async (names: string[], options: { networksWhenTold?: true }) => {
      const { serve } = await import('./serve/serve.ts')
      const { toldToOpenNetworks } = await import('./serve/told.ts')
      await serve(names, process.env, options.networksWhenTold ? { opensNetworks: toldToOpenNetworks() } : {})
    })
}

const variables = `
Examples:
  $ moma serve vision context denoise safety
  $ MOMA_VISION=gpu1:7401,gpu2:7401 MOMA_LISTEN=0.0.0.0:7405 moma serve generation
  $ PORT=80 moma serve gateway

Variables: MOMA_LISTEN, MOMA_VISION, MOMA_CONTEXT, MOMA_DENOISE, MOMA_SAFETY, MOMA_GENERATION, MOMA_BUNDLE,
MOMA_PROVIDER, DATABASE_URL, NATS_URL, MOMA_DATA, LOG_LEVEL and more; README.md has them all with their defaults.`
