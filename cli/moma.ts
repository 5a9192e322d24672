import { Command } from 'commander'
import { exitCodes } from './codes.ts'

const program = new Command('moma')
  .description('One photo of a thing and a sentence in; new pictures of that same thing out (MoMA, ECCV 2024).')
  .option('--debug', 'show where a fault happened')
  .showHelpAfterError('(moma --help says more)')
  .exitOverride()
  .configureHelp({ showGlobalOptions: true })

/** A command's own code is loaded when it is asked for: a process of the mesh starts without what draws or pulls. */
const commands: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  start: async () => (await import('./start.ts')).addStart,
  serve: async () => (await import('./serve.ts')).addServe,
  keys: async () => (await import('./keys.ts')).addKeys,
  health: async () => (await import('./health.ts')).addHealth,
  generate: async () => (await import('./generate.ts')).addGenerate,
  models: async () => (await import('./models.ts')).addModels,
  safety: async () => (await import('./safety.ts')).addSafety,
}
const named = commands[process.argv[2] ?? '']
for (const load of named ? [named] : Object.values(commands)) (await load())(program)
for (const command of program.commands) command.exitOverride()

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = await exitCodeOf(error)
}

async function exitCodeOf(error: unknown): Promise<number> {
  // commander has printed its own message; asking for help is no error.
  if (error instanceof Error && 'exitCode' in error && 'code' in error && String(error.code).startsWith('commander.')) {
    return error.exitCode === 0 ? exitCodes.done : exitCodes.input
  }
  const { describeError } = await import('./exit.ts')
  const { code, message } = describeError(error, program.opts().debug === true)
  process.stderr.write(`moma: ${message}\n`)
  return code
}
