import { createHash } from 'node:crypto'
import { cpSync, existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { migrationsFolder } from './migrations.ts'

/**
 * An empty database with its tables, made once: to copy one takes a tenth of what PostgreSQL's initdb takes inside
 * PGlite. It lies beside the installed packages and goes with them; where there is none, nothing is missing but time.
 */
export const templatesFolder: string = join(import.meta.dirname, '../../../node_modules/.cache/moma-mesh')

/** What was written, by which a template that is not whole is told. */
interface Extent {
  readonly files: number
  readonly bytes: number
}

/** The template's folder for this PGlite and these tables, whether or not it is there. */
export function templateFolder(within: string = templatesFolder): string {
  const { version } = JSON.parse(
    readFileSync(new URL('../package.json', import.meta.resolve('@electric-sql/pglite')), 'utf8'),
  ) as { version: string }
  const tables = createHash('sha256')
  for (const name of readdirSync(migrationsFolder).sort()) {
    if (name.endsWith('.sql')) tables.update(`${name}\n`).update(readFileSync(join(migrationsFolder, name)))
  }
  return join(within, `database-${version}-${tables.digest('hex').slice(0, 12)}`)
}

/**
 * Makes the template with what fills a folder with a closed database, unless it is there; templates of other versions
 * are removed. Several processes may do so at once. Throws what the disk or the database throws; nothing is left then.
 */
export async function makeTemplate(fill: (folder: string) => Promise<void>, within = templatesFolder): Promise<void> {
  const whole = templateFolder(within)
  if (existsSync(whole)) return
  const making = `${whole}.${process.pid}`
  try {
    await mkdir(making, { recursive: true })
    const data = join(making, 'data')
    await fill(data)
    await writeFile(join(making, 'extent.json'), JSON.stringify(extentOf(data)))
    await rename(making, whole)
  } catch (error) {
    await rm(making, { recursive: true, force: true })
    // Another process was first.
    if (!existsSync(whole)) throw error
  }
  const others = (await readdir(within)).filter((name) => /^database-[\w.+-]+-[0-9a-f]{12}$/.test(name))
  for (const name of others) {
    if (join(within, name) !== whole) await rm(join(within, name), { recursive: true, force: true })
  }
}

/**
 * Copies the template to `folder`, which is missing or empty, whole or not at all; false where there is no template, or
 * one that is not whole. The caller keeps other processes out of the folder.
 */
export async function copyTemplate(folder: string, template: string): Promise<boolean> {
  const copying = `${folder}.copy`
  try {
    await rm(copying, { recursive: true, force: true })
    const { files, bytes } = JSON.parse(await readFile(join(template, 'extent.json'), 'utf8')) as Extent
    cpSync(join(template, 'data'), copying, { recursive: true })
    const copied = extentOf(copying)
    if (copied.files !== files || copied.bytes !== bytes) throw new RangeError('the template is not whole')
    await rm(folder, { recursive: true, force: true })
    await rename(copying, folder)
    return true
  } catch {
    await rm(copying, { recursive: true, force: true }).catch(() => undefined)
    return false
  }
}

function extentOf(folder: string): Extent {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const bytes = files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0)
  return { files: files.length, bytes }
}
