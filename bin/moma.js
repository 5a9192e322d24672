#!/usr/bin/env node
// Runs on any Node from 20 on: the program itself needs the Node 24 that npm installed beside it.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../cli/moma.ts', import.meta.url))

// What was compiled once is read by the next start and by every thread of this one, as are networks that the runtime has
// optimised; where nothing can be written, nothing is.
const compiled = fileURLToPath(new URL('../node_modules/.cache/moma-mesh/compiled', import.meta.url))
const env = { NODE_COMPILE_CACHE: compiled, ...process.env }

if (Number(process.versions.node.split('.')[0]) >= 24) {
  const { enableCompileCache } = await import('node:module')
  enableCompileCache(env.NODE_COMPILE_CACHE)
  process.env.NODE_COMPILE_CACHE = env.NODE_COMPILE_CACHE
  await import(program)
} else {
  const node = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url))
  // By the channel the child notices when this process is killed.
  const child = spawn(node, [program, ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env,
  })
  // The child hears the terminal's Ctrl-C itself and decides; this process only waits for it.
  process.on('SIGINT', () => undefined)
  process.on('SIGTERM', () => child.kill('SIGTERM'))
  child.on('error', (error) => {
    console.error(`moma: ${node} can't be started (${error.message}); run npm ci first`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGTERM' ? 143 : 130)))
}
