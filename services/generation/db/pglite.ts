import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { setImmediate as turn } from 'node:timers/promises'
import { PGlite, type QueryOptions, types } from '@electric-sql/pglite'
import { drizzle } from 'drizzle-orm/pglite'
import { migrate } from 'drizzle-orm/pglite/migrator'
import type { Database, Queries } from './database.ts'
import { translateDatabaseError } from './errors.ts'
import { migrationsFolder } from './migrations.ts'
import * as schema from './schema.ts'
import { createStatements, type Statements } from './statements.ts'
import { copyTemplate, templateFolder } from './template.ts'

/**
 * PostgreSQL in this process, its files in `folder`; null keeps them in memory. Two processes in one folder destroy it.
 * An empty folder is begun with a copy of the template where there is one; a template of null is none.
 */
export async function openPglite(folder: string | null, template: string | null = templateFolder()): Promise<Database> {
  await using opened = new AsyncDisposableStack()
  const client = await openMigrated(folder, template)
  opened.defer(() => client.close())
  const { statements, outside, inside } = queriesOver(client)
  const kept = opened.move()

  const translated = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work
    } catch (error) {
      throw translateDatabaseError(error)
    }
  }
  return {
    kind: 'pglite',
    // It works on this very thread, statement after statement without a pause: what waits to be sent goes out before.
    run: (work) => translated(turn().then(() => work(outside))),
    // Somebody waits for what comes of one.
    transaction: (work) => translated(statements.transaction(() => work(inside))),
    // After what was asked for before.
    [Symbol.asyncDispose]: () => turn().then(() => kept.disposeAsync()),
  }
}

async function openMigrated(folder: string | null, template: string | null = templateFolder()) {
  if (folder === null) return migrated(await createClient())
  await mkdir(folder, { recursive: true })
  const isCopy = template !== null && (await readdir(folder)).length === 0 && (await copyTemplate(folder, template))
  try {
    return await migrated(await createClient(folder))
  } catch (error) {
    if (!isCopy) throw error
    // Nothing of anybody's is in it yet.
    await rm(folder, { recursive: true, force: true })
    return migrated(await createClient(folder))
  }
}

async function migrated(client: PGlite) {
  try {
    await migrate(drizzle({ client }), { migrationsFolder })
    return client
  } catch (error) {
    await client.close().catch(() => undefined)
    throw error
  }
}

const asText = (value: string) => value

/** Of moments, which drizzle reads from text by itself. */
const textParsers = {
  [types.TIMESTAMP]: asText,
  [types.TIMESTAMPTZ]: asText,
  [types.DATE]: asText,
  [types.INTERVAL]: asText,
}

/** PGlite as it is, without tables; in memory where no folder is said. */
export async function createClient(folder?: string): Promise<PGlite> {
  modules ??= Promise.all([compiled('pglite'), compiled('initdb')])
  const [pgliteWasmModule, initdbWasmModule] = await modules
  const place = folder === undefined ? {} : { dataDir: folder }
  return PGlite.create({ pgliteWasmModule, initdbWasmModule, parsers: textParsers, ...place })
}

/**
 * Compiled once and kept as long as the process lives: V8 can abort it when the machine code of databases that come and go
 * does so too (nodejs/node#64500).
 */
let modules: Promise<[WebAssembly.Module, WebAssembly.Module]> | undefined

async function compiled(name: string): Promise<WebAssembly.Module> {
  return wasm.compile(await readFile(new URL(`./${name}.wasm`, import.meta.resolve('@electric-sql/pglite'))))
}

/** Node's types know its types alone. */
const { WebAssembly: wasm } = globalThis as unknown as {
  readonly WebAssembly: { compile(bytes: Uint8Array): Promise<WebAssembly.Module> }
}

/** drizzle over statements that are prepared once: one outside of transactions, and one inside of whichever is open. */
function queriesOver(client: PGlite) {
  const statements = createStatements(client)
  const over = (query: Statements['query']) => {
    const all = {
      query(text: string, values?: unknown[], options?: QueryOptions) {
        // drizzle's parsers are the client's own: putting them together with those of some hundred types takes long.
        const { parsers: _, ...rest } = options ?? {}
        return query(text, values, rest)
      },
    }
    return drizzle({ client: all as unknown as PGlite, schema }) as unknown as Queries
  }
  return { statements, outside: over(statements.query), inside: over(statements.queryInside) }
}
