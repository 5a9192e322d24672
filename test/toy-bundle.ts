import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { BundlePlaces } from '../services/lib/bundles/bundles.ts'

const committed = fileURLToPath(new URL('../models/moma-toy/', import.meta.url))
const data = fileURLToPath(new URL('parity/data/', import.meta.url))

/** A bundle of the recorded toy networks: the whole topology in a second, its pictures mean nothing. */
export interface ToyBundle extends Disposable {
  readonly name: string
  readonly places: BundlePlaces
  /** For child processes: `MOMA_MODELS`. */
  readonly models: string
  readonly folder: string
}

/** The committed `moma-toy` under a name and in a folder of its own, which a test may change. */
export function createToyBundle(name = 'moma-test'): ToyBundle {
  const models = mkdtempSync(join(tmpdir(), 'moma-test-'))
  const folder = join(models, name)
  mkdirSync(join(folder, 'networks'), { recursive: true })
  for (const entry of readdirSync(data)) symlinkSync(join(data, entry), join(folder, 'networks', entry))
  const manifest = JSON.parse(readFileSync(join(committed, 'manifest.json'), 'utf8'))
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify({ ...manifest, name }, null, 2))
  return {
    name,
    models,
    folder,
    places: { manifests: join(models, 'none'), files: models },
    [Symbol.dispose]: () => rmSync(models, { recursive: true }),
  }
}
