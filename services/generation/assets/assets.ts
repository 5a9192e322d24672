import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { and, eq, inArray, lt, ne, or, type Placeholder, sql } from 'drizzle-orm'
import { MeshError } from '../../lib/mesh/errors.ts'
import type { Logger } from '../../lib/mesh/log.ts'
import type { Database, Queries } from '../db/database.ts'
import { prepared, rowPlaces, rowValues } from '../db/prepared.ts'
import { assets } from '../db/schema.ts'
import { newToken, sha256 } from '../ids.ts'
import type { NewAsset, Place } from '../runner/run-store.ts'
import type { AssetStorage } from './storage.ts'

export type AssetRow = typeof assets.$inferSelect

/** A file that is there; its row says so once it is kept. */
export type WrittenAsset = Omit<AssetRow, 'state' | 'createdAt'>

/** What is removed later gives way to what somebody waits for. */
const removeAfterMs = 100

/** After this, what is still being written is taken for left behind. */
const writingTimeoutMs = 3600_000

/**
 * Files with their rows. A row stands before its file does and goes after it, so a crash at any point leaves nothing that
 * `sweep` would not find. Nothing can be read before `keep` or after `doom`.
 */
export interface Assets {
  /** Rows for files that are still being made. Places that are not written to the sweep takes. */
  reserve(tenant: string, count: number): Promise<readonly Place[]>
  /** Writes files that `keep` will make readable, each by its token: all of them, or none is left. */
  write(tenant: string, files: readonly NewAsset[], places?: readonly Place[]): Promise<WrittenAsset[]>
  /** Writes an uploaded file; the stream checks what passes and is to throw where it does not fit. Nothing is left then. */
  writeUpload(
    tenant: string,
    file: { readonly contentType: string; readonly byteLength: number; readonly sha256: () => string },
    content: AsyncIterable<Uint8Array>,
  ): Promise<WrittenAsset>
  /** In the transaction that makes something point to the files. Throws ABORTED where one was swept meanwhile. */
  keep(queries: Queries, files: readonly WrittenAsset[]): Promise<void>
  /** In the transaction after which nothing points to them. */
  doom(queries: Queries, keys: readonly string[]): Promise<void>
  /** Deletes doomed files and their rows, after the commit. Never throws: what is left the sweep takes. */
  remove(keys: readonly string[]): Promise<void>
  /** As `remove`, beside what goes on. */
  removeLater(keys: readonly string[]): void
  /** Once everything is removed that was to be removed later. */
  settled(): Promise<void>
  /** Gives up what was written and not kept. Never throws. */
  abandon(keys: readonly string[]): Promise<void>
  /** The readable asset with this token; null where there is none. */
  find(token: string): Promise<AssetRow | null>
  read(key: string): Promise<Uint8Array>
  stream(key: string, offset: number, length: number): AsyncGenerator<Uint8Array>
  /** Deletes up to `limit` files that were left behind, and says how many. */
  sweep(limit: number): Promise<number>
}

export interface AssetsOptions {
  readonly db: Database
  readonly storage: AssetStorage
  readonly log: Logger
  now(): Date
}

const insertRows = prepared((queries, value: (name: string) => Placeholder, count) =>
  queries.insert(assets).values(rowPlaces(assets, value, count)),
)

/**
 * The statement that makes `count` files readable and says what they are, to be a part of the one that makes something
 * point to them; `rowValues` of the files has its values, and `requireKept` has to see it.
 */
export function keeping(queries: Queries, value: (name: string) => Placeholder, count: number) {
  const files = Array.from({ length: count }, (_, index) => {
    const texts = ['key', 'contentType', 'sha256'].map((name) => sql`${value(`${name}${index}`)}::text`)
    const numbers = ['widthPx', 'heightPx', 'byteLength'].map((name) => sql`${value(`${name}${index}`)}::int`)
    return sql`(${sql.join([...texts, ...numbers], sql`, `)})`
  })
  const written = sql`(values ${sql.join(files, sql`, `)})
    as written (key, content_type, sha256, width_px, height_px, byte_length)`
  return queries
    .update(assets)
    .set({
      state: 'KEPT',
      contentType: sql`written.content_type`,
      sha256: sql`written.sha256`,
      widthPx: sql`written.width_px`,
      heightPx: sql`written.height_px`,
      byteLength: sql`written.byte_length`,
    })
    .from(written)
    .where(and(eq(assets.key, sql`written.key`), eq(assets.state, 'WRITING')))
    .returning({ key: assets.key })
}

const keepFiles = prepared(keeping)

/** Throws ABORTED where a file was swept meanwhile. */
export function requireKept(kept: number, files: readonly WrittenAsset[]): void {
  if (kept !== files.length) throw new MeshError('ABORTED', 'generation: files took too long to be kept')
}

export function createAssets({ db, storage, log, now }: AssetsOptions): Assets {
  const removing = new Set<Promise<void>>()

  /** Rows that say nothing of their files yet, but who may read them. */
  const begin = async <Token extends string | null>(tenant: string, tokens: readonly Token[]) => {
    // What is written together lies together.
    const folder = randomBytes(1).toString('hex')
    const places = tokens.map((token) => ({ token, key: `${folder}/${randomBytes(19).toString('hex')}` }))
    const unknown = { contentType: '', widthPx: 0, heightPx: 0, byteLength: 0, sha256: '' }
    const rows = places.map((place): AssetRow => {
      return { ...place, tenant, ...unknown, state: 'WRITING', createdAt: now() }
    })
    await db.run((queries) => insertRows(queries, rowValues(rows), rows.length))
    return places
  }

  const reserve = (tenant: string, count: number): Promise<Place[]> =>
    begin(
      tenant,
      Array.from({ length: count }, () => newToken()),
    )

  const removeFile = async (key: string): Promise<boolean> => {
    try {
      await storage.delete(key)
      return true
    } catch (error) {
      log.warn({ err: error, key }, 'file left for the sweep')
      return false
    }
  }

  const remove = async (keys: readonly string[]): Promise<void> => {
    const gone: string[] = []
    for (const key of keys) if (await removeFile(key)) gone.push(key)
    if (gone.length === 0) return
    try {
      await db.run((queries) =>
        queries.delete(assets).where(and(inArray(assets.key, gone), eq(assets.state, 'DOOMED'))),
      )
    } catch (error) {
      log.warn({ err: error, keys: gone }, 'rows left for the sweep')
    }
  }

  const doom = async (queries: Queries, keys: readonly string[]): Promise<void> => {
    if (keys.length === 0) return
    await queries
      .update(assets)
      .set({ state: 'DOOMED' })
      .where(inArray(assets.key, [...keys]))
  }

  const abandon = async (keys: readonly string[]): Promise<void> => {
    try {
      // Not what is kept: the answer to a commit can be lost when the commit was not.
      const given = await db.run((queries) =>
        queries
          .update(assets)
          .set({ state: 'DOOMED' })
          .where(and(inArray(assets.key, [...keys]), eq(assets.state, 'WRITING')))
          .returning({ key: assets.key }),
      )
      await remove(given.map(({ key }) => key))
    } catch (error) {
      log.warn({ err: error, keys }, 'files left for the sweep')
    }
  }

  /** What goes wrong while files are written takes files and rows away again. */
  const orAbandon = async (keys: readonly string[], work: readonly Promise<void>[]): Promise<void> => {
    // A file that is still being written can't be taken away.
    const written = await Promise.allSettled(work)
    const failed = written.find((one) => one.status === 'rejected')
    if (!failed) return
    await abandon(keys)
    throw failed.reason
  }

  return {
    reserve,
    async write(tenant, files, reserved) {
      const places = reserved ?? (await reserve(tenant, files.length))
      const keys = places.map(({ key }) => key)
      await orAbandon(
        keys,
        files.map(({ bytes }, index) => storage.write(keys[index]!, bytes)),
      )
      return files.map(({ bytes, contentType, widthPx, heightPx }, index) => {
        const known = { contentType, widthPx, heightPx, byteLength: bytes.length, sha256: sha256(bytes) }
        return { ...places[index]!, tenant, ...known }
      })
    },
    async writeUpload(tenant, { contentType, byteLength, sha256: digest }, content) {
      const [place] = await begin(tenant, [null])
      await orAbandon([place!.key], [storage.write(place!.key, content)])
      return { ...place!, tenant, contentType, widthPx: 0, heightPx: 0, byteLength, sha256: digest() }
    },
    async keep(queries, files) {
      requireKept((await keepFiles(queries, rowValues(files), files.length)).length, files)
    },
    doom,
    remove,
    removeLater(keys) {
      const work: Promise<void> = sleep(removeAfterMs)
        .then(() => remove(keys))
        .finally(() => removing.delete(work))
      removing.add(work)
    },
    async settled() {
      await Promise.all(removing)
    },
    abandon,
    async find(token) {
      const [row] = await db.run((queries) =>
        queries
          .select()
          .from(assets)
          .where(and(eq(assets.token, token), eq(assets.state, 'KEPT'))),
      )
      return row ?? null
    },
    read: (key) => storage.read(key),
    stream: (key, offset, length) => storage.stream(key, offset, length),
    async sweep(limit) {
      const before = new Date(now().getTime() - writingTimeoutMs)
      const left = or(eq(assets.state, 'DOOMED'), and(eq(assets.state, 'WRITING'), lt(assets.createdAt, before)))
      const keys = await db.transaction(async (queries) => {
        const rows = await queries
          .select({ key: assets.key })
          .from(assets)
          .where(and(ne(assets.state, 'KEPT'), left))
          .orderBy(assets.createdAt)
          .limit(limit)
          .for('update', { skipLocked: true })
        const found = rows.map(({ key }) => key)
        await doom(queries, found)
        return found
      })
      await remove(keys)
      return keys.length
    },
  }
}
