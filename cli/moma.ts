import { exitCodes } from './codes.ts'
import { endBy, Interrupted } from './interrupt.ts'
import { runProgram } from './program.ts'

const writeError = (text: string) => void process.stderr.write(text)

try {
  const code = await runProgram(process.argv.slice(2), writeError)
  // A command that served may have said another.
  if (code !== exitCodes.done) process.exitCode = code
} catch (error) {
  if (!(error instanceof Interrupted)) throw error
  writeError(`moma: ${error.message}\n`)
  endBy(error.signal)
}
