import { randomBytes } from 'node:crypto'
import type { Manifest } from '../lib/bundles/manifest.ts'
import type { Events } from '../lib/mesh/events/events.ts'
import type { Jobs } from '../lib/mesh/jobs/jobs.ts'
import type { Logger } from '../lib/mesh/log.ts'
import { checkText, maxPromptCharacters } from '../lib/tokenizers/text.ts'
import { bundleMethods } from './capabilities.ts'
import type { Database } from './db/database.ts'
import { isForeignKeyViolation } from './db/errors.ts'
import { storableText } from './fields.ts'
import { newId, requestHash } from './ids.ts'
import type { GenerationLimits } from './limits.ts'
import { about, conflict, invalidInput, limitExceeded, notFound, rejected, wrongValue } from './problems.ts'
import { completeRequest, type GenerationRequest } from './request.ts'
import { snapshotOf, tell } from './snapshots.ts'
import {
  cancel,
  findByIdempotencyKey,
  findDrawable,
  findGeneration,
  type GenerationRow,
  insertGeneration,
  lockTenant,
  type QueuedGeneration,
} from './store/generations.ts'

export interface NewGeneration {
  readonly tenant: string
  readonly subjectId: string
  readonly request: GenerationRequest
  readonly idempotencyKey: string | null
}

/** Throws Refused on what is not allowed. */
export interface Generations {
  /** Accepts it: its row is committed, then it is put into the queue, by the sweep if that fails now. */
  create(generation: NewGeneration): Promise<QueuedGeneration>
  /** Asks it to stop; one that waits stops at once, one that has ended is given as it is. */
  cancel(tenant: string, id: string): Promise<QueuedGeneration>
}

export interface GenerationsOptions {
  readonly db: Database
  readonly jobs: Jobs
  readonly events: Events
  readonly manifest: Manifest
  readonly limits: GenerationLimits
  readonly log: Logger
  now(): Date
}

/** What is said to whoever has too many waiting: a guess at when the next one starts. */
const queueRetryMs = 10_000

export function createGenerations(options: GenerationsOptions): Generations {
  const { db, jobs, events, manifest, limits, log, now } = options
  const methods = bundleMethods(manifest)

  const complete = async (request: GenerationRequest) => {
    for (const field of ['prompt', 'negativePrompt'] as const) {
      const text = storableText(field, request[field] ?? '')
      await about(field, () => checkText(field, text, maxPromptCharacters))
    }
    const whole = completeRequest({ ...request, seed: request.seed ?? randomSeed() }, manifest.settings)
    if (!methods.includes(whole.method)) throw wrongValue('method', whole.method, methods.join(', '))
    return whole
  }

  return {
    async create({ tenant, subjectId, request, idempotencyKey }) {
      const whole = await complete(request)
      const hash = requestHash([subjectId, Object.entries(request).sort(([a], [b]) => (a < b ? -1 : 1))])
      const accepting = db.transaction(async (queries) => {
        // Transactions in PGlite come one after the other by themselves.
        if (db.kind === 'postgres') await lockTenant(queries, tenant)
        const known = idempotencyKey === null ? null : await findByIdempotencyKey(queries, tenant, idempotencyKey)
        if (known) {
          if (known.requestHash !== hash) throw conflict(known.idempotencyKey!)
          return { row: known, isNew: false }
        }
        const subject = await findDrawable(queries, tenant, subjectId)
        if (!subject) throw notFound('subject', subjectId)
        const { status, verdict, sizePx, queued } = subject
        if (status === 'REJECTED') throw rejected(verdict)
        if (sizePx !== manifest.settings.sizePx) throw otherSize(sizePx, manifest.settings.sizePx)
        if (queued >= limits.maxQueued) {
          const message = `${queued} generations wait, allowed are ${limits.maxQueued}`
          throw limitExceeded('queued', message, queueRetryMs)
        }
        const accepted: GenerationRow = {
          id: newId('gen'),
          tenant,
          subjectId,
          status: 'QUEUED',
          stage: null,
          stageStartedAt: null,
          attempt: 0,
          step: 0,
          request: whole,
          timings: {},
          problem: null,
          promptVerdict: null,
          unreadPrompt: null,
          idempotencyKey,
          requestHash: hash,
          createdAt: now(),
          startedAt: null,
          completedAt: null,
        }
        return { row: { ...accepted, queuePosition: await insertGeneration(queries, accepted) }, isNew: true }
      })
      const { row, isNew } = await accepting.catch((error: unknown) => {
        // The subject was deleted between being found and being pointed to.
        throw isForeignKeyViolation(error) ? notFound('subject', subjectId) : error
      })
      if (isNew) {
        await jobs.add(row.id).catch((error: unknown) => {
          log.warn({ err: error, generationId: row.id }, 'job left for the sweep')
        })
        await tell(events, log, snapshotOf(row, now(), row))
      }
      return row
    },

    async cancel(tenant, id) {
      const changed = await db.run((queries) => cancel(queries, tenant, id, now()))
      if (changed) {
        await tell(events, log, snapshotOf(changed, now()))
        return { ...changed, queuePosition: 0 }
      }
      const row = await db.run((queries) => findGeneration(queries, tenant, id))
      if (!row) throw notFound('generation', id)
      return row
    },
  }
}

const otherSize = (madeForPx: number | null, sizePx: number) =>
  invalidInput(
    'subjectId',
    `subjectId names a subject that was made for ${madeForPx} px, this bundle works at ${sizePx}; make the subject anew`,
  )

/** 0 … 2^53 - 66, the largest that the GraphQL schema can say. */
function randomSeed(): number {
  for (;;) {
    const seed = Number(randomBytes(8).readBigUInt64BE() >> 11n)
    if (seed <= 2 ** 53 - 66) return seed
  }
}
