import { endBy, Interrupted } from './interrupt.ts'
import { runProgram } from './program.ts'

const writeError = (text: string) => void process.stderr.write(text)

try {
  process.exitCode = await runProgram(process.argv.slice(2), writeError)
} catch (error) {
  if (!(error instanceof Interrupted)) throw error
  writeError(`moma: ${error.message}\n`)
  endBy(error.signal)
}
