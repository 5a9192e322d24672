import { Command, CommanderError } from 'commander'
import { describeError, exitCodes } from './exit.ts'
import { addGenerate } from './generate.ts'
import { Interrupted } from './interrupt.ts'
import { addModels } from './models.ts'

export function createProgram(): Command {
  const program = new Command('moma')
    .description('One photo of a thing and a sentence in; new pictures of that same thing out (MoMA, ECCV 2024).')
    .option('--debug', 'show where a fault happened')
    .showHelpAfterError('(moma --help says more)')
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
  addGenerate(program)
  addModels(program)
  return program
}

/** Carries out a command line (without node and script). Returns its exit code; throws what only signals bring, an `Interrupted`. */
export async function runProgram(args: readonly string[], writeError: (text: string) => void): Promise<number> {
  const program = createProgram()
  for (const command of withSubcommands(program)) command.exitOverride().configureOutput({ writeErr: writeError })
  try {
    await program.parseAsync(args, { from: 'user' })
    return exitCodes.done
  } catch (error) {
    if (error instanceof Interrupted) throw error
    // commander has printed its own message; asking for help is no error.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.input
    const { code, message } = describeError(error, program.opts().debug === true)
    writeError(`moma: ${message}\n`)
    return code
  }
}

function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)]
}
