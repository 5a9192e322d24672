import { Command, CommanderError } from 'commander'
import { exitCodes } from './codes.ts'
import { Interrupted } from './interrupt.ts'

/** A command's own code is loaded when it is asked for: a process of the mesh starts without what draws or pulls. */
const commands: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  start: async () => (await import('./start.ts')).addStart,
  serve: async () => (await import('./serve.ts')).addServe,
  keys: async () => (await import('./keys.ts')).addKeys,
  health: async () => (await import('./health.ts')).addHealth,
  generate: async () => (await import('./generate.ts')).addGenerate,
  evaluate: async () => (await import('./evaluate.ts')).addEvaluate,
  models: async () => (await import('./models.ts')).addModels,
  safety: async () => (await import('./safety.ts')).addSafety,
}

/** The program with the named command alone, or with all of them where the name is none's. */
export async function createProgram(name = ''): Promise<Command> {
  const program = new Command('moma')
    .description('One photo of a thing and a sentence in; new pictures of that same thing out (MoMA, ECCV 2024).')
    .option('--debug', 'show where a fault happened')
    .showHelpAfterError('(moma --help says more)')
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
  const named = Object.hasOwn(commands, name) ? commands[name] : undefined
  for (const load of named ? [named] : Object.values(commands)) (await load())(program)
  return program
}

/** Carries out a command line (without node and script). Returns its exit code; throws what only signals bring, an `Interrupted`. */
export async function runProgram(args: readonly string[], writeError: (text: string) => void): Promise<number> {
  const program = await createProgram(args[0])
  for (const command of withSubcommands(program)) command.exitOverride().configureOutput({ writeErr: writeError })
  try {
    await program.parseAsync(args, { from: 'user' })
    return exitCodes.done
  } catch (error) {
    if (error instanceof Interrupted) throw error
    // commander has printed its own message; asking for help is no error.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.input
    const { describeError } = await import('./exit.ts')
    const { code, message } = describeError(error, program.opts().debug === true)
    writeError(`moma: ${message}\n`)
    return code
  }
}

function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)]
}
