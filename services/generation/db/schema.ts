import { sql } from 'drizzle-orm'
import {
  bigint,
  customType,
  foreignKey,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  timestamp,
  uniqueIndex,
} from 'drizzle-orm/pg-core'
import type { Verdict } from '../../safety/safety.ts'
import type { CompleteRequest } from '../request.ts'
import type { EndReason, Stage } from '../runner/run-store.ts'

/** moma.generation.v1.GenerationStatus without its prefix. */
export const generationStatuses = [
  'QUEUED',
  'RUNNING',
  'SUCCEEDED',
  'FAILED',
  'REJECTED',
  'CANCELING',
  'CANCELED',
] as const
export type GenerationStatus = (typeof generationStatuses)[number]

export type SubjectStatus = 'READY' | 'REJECTED'
export type Scope = 'READ' | 'WRITE'

/** Milliseconds by stage; a stage that was not reached is absent. */
export type Timings = Partial<Record<Stage, number>>

/** WRITING: its row is there before its bytes are; KEPT: can be read; DOOMED: its bytes are to be deleted, then its row. */
export type AssetState = 'WRITING' | 'KEPT' | 'DOOMED'

const bytea = customType<{ data: Uint8Array; driverData: Uint8Array }>({
  dataType: () => 'bytea',
  // pg writes a Buffer as bytes, and any other typed array as JSON.
  toDriver: (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
})

/** To the millisecond, as JavaScript's dates are: what was read compares equal to what is kept. */
const moment = (name: string) => timestamp(name, { withTimezone: true, precision: 3, mode: 'date' })

export const apiKeys = pgTable(
  'api_keys',
  {
    id: text().primaryKey(),
    tenant: text().notNull(),
    name: text().notNull(),
    scopes: text().array().$type<Scope[]>().notNull(),
    prefix: text().notNull(),
    /** SHA-256 of the key, which is 256 random bits: no salt and no slow hash are needed. */
    hash: text().notNull(),
    createdAt: moment('created_at').notNull(),
    revokedAt: moment('revoked_at'),
  },
  (table) => [uniqueIndex('api_keys_hash').on(table.hash), index('api_keys_newest').on(table.createdAt, table.id)],
)

/** Every file in the asset storage has a row here, from before its first byte until after its last: none can be forgotten. */
export const assets = pgTable(
  'assets',
  {
    /** Name of the file. */
    key: text().primaryKey(),
    tenant: text().notNull(),
    /** The capability that reads it; null for what nobody may read, such as an uploaded file. */
    token: text(),
    state: text().$type<AssetState>().notNull(),
    contentType: text('content_type').notNull(),
    /** 0 where it is not known. */
    widthPx: integer('width_px').notNull(),
    heightPx: integer('height_px').notNull(),
    byteLength: integer('byte_length').notNull(),
    /** In hexadecimal. */
    sha256: text().notNull(),
    createdAt: moment('created_at').notNull(),
  },
  (table) => [
    uniqueIndex('assets_token').on(table.token),
    index('assets_unkept').on(table.createdAt).where(sql`${table.state} <> 'KEPT'`),
  ],
)

export const uploads = pgTable(
  'uploads',
  {
    id: text().primaryKey(),
    tenant: text().notNull(),
    tokenHash: text('token_hash').notNull(),
    contentType: text('content_type').notNull(),
    byteLength: integer('byte_length').notNull(),
    /** What the bytes must have; null where nothing was said. */
    promisedSha256: text('promised_sha256'),
    /** The kept file; null until it is there. */
    assetKey: text('asset_key').references(() => assets.key),
    createdAt: moment('created_at').notNull(),
    /** Of the token until the file is there, then of the file. */
    expiresAt: moment('expires_at').notNull(),
  },
  (table) => [
    uniqueIndex('uploads_token_hash').on(table.tokenHash),
    index('uploads_expiry').on(table.expiresAt),
    index('uploads_asset').on(table.assetKey),
    index('uploads_of_tenant').on(table.tenant, table.expiresAt),
  ],
)

export const subjects = pgTable(
  'subjects',
  {
    id: text().primaryKey(),
    tenant: text().notNull(),
    label: text().notNull(),
    status: text().$type<SubjectStatus>().notNull(),
    /** `subjectHash` of photo and mask; null when rejected. */
    contentHash: text('content_hash'),
    imageKey: text('image_key').references(() => assets.key),
    maskKey: text('mask_key').references(() => assets.key),
    verdict: jsonb().$type<Verdict>().notNull(),
    /** The files that it was made from, which go with it. */
    uploadIds: text('upload_ids').array().notNull(),
    idempotencyKey: text('idempotency_key'),
    requestHash: text('request_hash').notNull(),
    createdAt: moment('created_at').notNull(),
  },
  (table) => [
    uniqueIndex('subjects_idempotency').on(table.tenant, table.idempotencyKey),
    index('subjects_newest').on(table.tenant, table.createdAt, table.id),
    index('subjects_image').on(table.imageKey),
    index('subjects_mask').on(table.maskKey),
  ],
)

export const generations = pgTable(
  'generations',
  {
    id: text().primaryKey(),
    tenant: text().notNull(),
    subjectId: text('subject_id')
      .notNull()
      .references(() => subjects.id, { onDelete: 'cascade' }),
    status: text().$type<GenerationStatus>().notNull(),
    /** What it is at, or ended at; null before the first. */
    stage: text().$type<Stage>(),
    stageStartedAt: moment('stage_started_at'),
    /** How often work on it was begun. Writes that name an older attempt do nothing. */
    attempt: integer().notNull(),
    /** Attempts since it last got further, that of now among them; none that a runner's own shutdown ended. */
    faults: integer().notNull().default(0),
    step: integer().notNull(),
    /** The furthest that a checkpoint was kept of, whether or not one can go on from it. */
    furthestStep: integer('furthest_step').notNull().default(0),
    request: jsonb().$type<CompleteRequest>().notNull(),
    timings: jsonb().$type<Timings>().notNull(),
    problem: jsonb().$type<EndReason>(),
    /** What allowed its words; null before that. What refused them is in its problem. */
    promptVerdict: jsonb('prompt_verdict').$type<Verdict>(),
    /** What of the prompt the text encoder does not read. */
    unreadPrompt: text('unread_prompt'),
    idempotencyKey: text('idempotency_key'),
    requestHash: text('request_hash').notNull(),
    createdAt: moment('created_at').notNull(),
    startedAt: moment('started_at'),
    completedAt: moment('completed_at'),
  },
  (table) => [
    uniqueIndex('generations_idempotency').on(table.tenant, table.idempotencyKey),
    index('generations_newest').on(table.tenant, table.createdAt, table.id),
    index('generations_of_subject').on(table.subjectId, table.createdAt, table.id),
    index('generations_queue').on(table.createdAt, table.id).where(sql`${table.status} = 'QUEUED'`),
    index('generations_queue_of_tenant').on(table.tenant).where(sql`${table.status} = 'QUEUED'`),
    index('generations_unfinished')
      .on(table.createdAt, table.id)
      .where(sql`${table.status} in ('QUEUED', 'RUNNING', 'CANCELING')`),
    index('generations_ended').on(table.completedAt).where(sql`${table.completedAt} is not null`),
  ],
)

/** What an attempt goes on from: the latest of each generation. */
export const checkpoints = pgTable(
  'checkpoints',
  {
    generationId: text('generation_id').primaryKey(),
    step: integer().notNull(),
    bytes: bytea().notNull(),
    /** Whose networks it is of: no other's can go on from it. Null where it was kept before that was written down. */
    bundle: text(),
  },
  (table) => [foreignKey({ columns: [table.generationId], foreignColumns: [generations.id] }).onDelete('cascade')],
)

export const images = pgTable(
  'images',
  {
    id: text().primaryKey(),
    generationId: text('generation_id')
      .notNull()
      .references(() => generations.id, { onDelete: 'cascade' }),
    index: integer().notNull(),
    seed: bigint({ mode: 'number' }).notNull(),
    imageKey: text('image_key')
      .notNull()
      .references(() => assets.key),
    maskKey: text('mask_key')
      .notNull()
      .references(() => assets.key),
    verdict: jsonb().$type<Verdict>().notNull(),
  },
  (table) => [
    uniqueIndex('images_of_generation').on(table.generationId, table.index),
    index('images_image').on(table.imageKey),
    index('images_mask').on(table.maskKey),
  ],
)

/** Small pictures of what is becoming: the latest of each kind, gone when the generation ends. */
export const previews = pgTable(
  'previews',
  {
    generationId: text('generation_id')
      .notNull()
      .references(() => generations.id, { onDelete: 'cascade' }),
    kind: text().$type<'preview' | 'mask'>().notNull(),
    assetKey: text('asset_key')
      .notNull()
      .references(() => assets.key),
  },
  (table) => [primaryKey({ columns: [table.generationId, table.kind] }), index('previews_asset').on(table.assetKey)],
)
