// npm run build:studio: types of the operations, example photos, and the page itself into dist/. With --if-possible it
// does nothing where the development dependencies are not installed.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

const here = import.meta.dirname

if (process.argv.includes('--if-possible') && !isInstalled()) {
  console.log('the studio is not built: the development dependencies are not installed')
} else {
  await build()
}

function isInstalled(): boolean {
  try {
    return ['vite', 'preact', '@graphql-codegen/core'].every((name) => import.meta.resolve(name))
  } catch {
    return false
  }
}

async function build(): Promise<void> {
  const [vite, { generateOperations }, { drawExamples }] = await Promise.all([
    import('vite'),
    import('./typegen.ts'),
    import('./examples.ts'),
  ])
  const generated = join(here, 'generated')
  mkdirSync(generated, { recursive: true })
  writeFileSync(join(generated, 'operations.ts'), await generateOperations())
  if (process.argv.includes('--types')) return
  await drawExamples(join(generated, 'examples'))
  await vite.build({
    root: here,
    configFile: false,
    base: '/',
    logLevel: 'warn',
    oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
    build: { outDir: 'dist', emptyOutDir: true, assetsDir: 'studio', assetsInlineLimit: 0, modulePreload: false },
  })
  const scripts = readdirSync(join(here, 'dist/studio')).filter((name) => name.endsWith('.js'))
  const bytes = scripts.reduce((sum, name) => sum + gzipSync(readFileSync(join(here, 'dist/studio', name))).length, 0)
  console.log(`the studio is built: ${(bytes / 1000).toFixed(1)} kB of compressed JavaScript`)
}
