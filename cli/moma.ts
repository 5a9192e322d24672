import { Command } from 'commander'
import { addEvaluate } from './evaluate.ts'
import { describeError, exitCodes } from './exit.ts'
import { addGenerate } from './generate.ts'
import { addModels } from './models.ts'

const program = new Command('moma')
  .description('One photo of a thing and a sentence in; new pictures of that same thing out (MoMA, ECCV 2024).')
  .option('--debug', 'show where a fault happened')
  .showHelpAfterError('(moma --help says more)')
  .exitOverride()
  .configureHelp({ showGlobalOptions: true })

addGenerate(program)
addEvaluate(program)
addModels(program)
for (const command of program.commands) command.exitOverride()

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = exitCodeOf(error)
}

function exitCodeOf(error: unknown): number {
  // commander has printed its own message; asking for help is no error.
  if (error instanceof Error && 'exitCode' in error && 'code' in error && String(error.code).startsWith('commander.')) {
    return error.exitCode === 0 ? exitCodes.done : exitCodes.input
  }
  const { code, message } = describeError(error, program.opts().debug === true)
  process.stderr.write(`moma: ${message}\n`)
  return code
}
