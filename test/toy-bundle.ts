import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
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

/** The committed `moma-toy` in a folder of its own, which a test may change. */
export function createToyBundle(): ToyBundle {
  const models = mkdtempSync(join(tmpdir(), 'moma-toy-'))
  const name = 'moma-toy'
  const folder = join(models, name)
  mkdirSync(folder)
  symlinkSync(data, join(folder, 'networks'))
  copyFileSync(join(committed, 'manifest.json'), join(folder, 'manifest.json'))
  return {
    name,
    models,
    folder,
    places: { manifests: join(models, 'none'), files: models },
    [Symbol.dispose]: () => rmSync(models, { recursive: true }),
  }
}
