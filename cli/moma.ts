import { exitCodes } from './codes.ts'
import { endBy, Interrupted } from './interrupt.ts'
import { runProgram } from './program.ts'

const writeError = (text: string) => void process.stderr.write(text)

// Whoever reads the output has had enough, as `head` has: what else would be written concerns nobody.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(exitCodes.unread)
})

try {
  const code = await runProgram(process.argv.slice(2), writeError)
  // A command that served may have said another.
  if (code !== exitCodes.done) process.exitCode = code
} catch (error) {
  if (!(error instanceof Interrupted)) throw error
  writeError(`moma: ${error.message}\n`)
  endBy(error.signal)
}
