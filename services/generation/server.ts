import type { Manifest } from '../lib/bundles/manifest.ts'
import { generationContract } from '../lib/mesh/contracts.ts'
import { invalid } from '../lib/mesh/errors.ts'
import type { Events } from '../lib/mesh/events/events.ts'
import { wordField } from '../lib/mesh/fields.ts'
import type { GenerationServiceHandlers } from '../lib/mesh/generated/moma/generation/v1/GenerationService.ts'
import type { Jobs } from '../lib/mesh/jobs/jobs.ts'
import type { Logger } from '../lib/mesh/log.ts'
import { alwaysReady } from '../lib/mesh/readiness.ts'
import { type MeshService, meshService } from '../lib/mesh/service.ts'
import { createSlots } from '../lib/mesh/slots.ts'
import type { Safety } from '../safety/safety.ts'
import type { Vision } from '../vision/vision.ts'
import { createApiKeys } from './api-keys.ts'
import type { Assets } from './assets/assets.ts'
import { capabilitiesMessage } from './capabilities.ts'
import type { Database } from './db/database.ts'
import { generationStatuses } from './db/schema.ts'
import { idempotencyKeyField, idsField, tenantField } from './fields.ts'
import { createGenerations } from './generations.ts'
import type { GenerationLimits } from './limits.ts'
import { apiKeyMessage, readScopes } from './messages/api-key.ts'
import { generationMessage, readSettings, subjectMessage } from './messages/generation.ts'
import { toTimestamp } from './messages/timestamp.ts'
import { orProblem, wrongValue } from './problems.ts'
import { readAsset } from './read-asset.ts'
import {
  findGenerations,
  findImages,
  type ImageRow,
  listGenerations,
  type QueuedGeneration,
} from './store/generations.ts'
import { readPageRequest } from './store/page.ts'
import { findSubjects, listSubjects } from './store/subjects.ts'
import { createSubjects } from './subjects.ts'
import { readUploadStream } from './upload-stream.ts'
import { createUploads } from './uploads.ts'
import { createWatch } from './watch.ts'

export interface GenerationServerOptions {
  readonly db: Database
  readonly assets: Assets
  readonly jobs: Jobs
  readonly events: Events
  readonly vision: Pick<Vision, 'segment'>
  readonly safety: Pick<Safety, 'reviewPrompt' | 'reviewSubject'>
  readonly manifest: Manifest
  readonly limits: GenerationLimits
  /** What runs the networks, as capabilities say it: cpu, cuda or webgpu. */
  readonly executionProvider: string
  readonly log: Logger
  now(): Date
  /** Longest wait for a verdict on a subject. */
  readonly reviewTimeoutMs?: number
  /** Silence after which a watcher looks at the row. */
  readonly quietMs?: number
}

/** Whoever sends at a snail's pace keeps places for minutes: a tenant has a quarter of them at most. */
const uploadSlots = { slots: 32, perLine: 8, queue: 256 }

const statuses = Object.fromEntries(generationStatuses.map((status) => [`GENERATION_STATUS_${status}`, status]))

/** moma.generation.v1 over the system of record. It serves while the database is away too: calls say so then. */
export function createGenerationServer(options: GenerationServerOptions): MeshService {
  const { db, assets, manifest, limits, executionProvider, now } = options
  const keys = createApiKeys(db, now)
  const uploads = createUploads({ ...options, slots: createSlots('uploads', uploadSlots) })
  const subjects = createSubjects({
    ...options,
    sizePx: manifest.settings.sizePx,
    hasSegmentation: manifest.networks.segmentation !== undefined,
    slots: createSlots('subjects', { slots: 2, queue: limits.maxSubjectsWaiting }),
  })
  const generations = createGenerations(options)
  const watch = createWatch(options)

  const messages = async (rows: readonly QueuedGeneration[]) => {
    const ids = rows.filter(({ status }) => status === 'SUCCEEDED').map(({ id }) => id)
    const images =
      ids.length === 0 ? new Map<string, ImageRow[]>() : await db.run((queries) => findImages(queries, ids))
    return rows.map((row) => generationMessage(row, images.get(row.id) ?? []))
  }
  const message = async (row: QueuedGeneration) => (await messages([row]))[0]!

  return meshService<GenerationServiceHandlers>(
    generationContract,
    {
      async Authenticate({ apiKey }) {
        const { tenant, scopes } = await keys.authenticate(apiKey)
        return { tenant, scopes: scopes.map((scope) => `SCOPE_${scope}` as const) }
      },
      async CreateApiKey({ tenant, scopes, name }) {
        if (name.length > 100) throw invalid('name', name, 'up to 100 characters')
        const { secret, row } = await keys.create({ tenant: tenantField(tenant), name, scopes: readScopes(scopes) })
        return { secret, apiKey: apiKeyMessage(row) }
      },
      async ListApiKeys({ tenant }) {
        return { apiKeys: (await keys.list(tenant === '' ? null : tenantField(tenant))).map(apiKeyMessage) }
      },
      async RevokeApiKey({ id }) {
        return { apiKey: apiKeyMessage(await keys.revoke(id)) }
      },

      CreateUpload: ({ tenant, contentType, byteLength, sha256 }) =>
        orProblem(async () => {
          const { id, token, expiresAt } = await uploads.promise(tenantField(tenant), {
            contentType,
            byteLength: Number(byteLength),
            sha256,
          })
          return { uploadId: id, token, expireTime: toTimestamp(expiresAt) }
        }),
      WriteUpload: (requests, { signal }) =>
        orProblem(async () => {
          const { header, bytes } = await readUploadStream(requests)
          return { uploadId: await uploads.write(header.token, header.contentType, bytes, signal) }
        }),
      ReadAsset: ({ token, offset, length }) => readAsset(assets, token, Number(offset), Number(length)),

      CreateSubject: ({ tenant, uploadId, label, maskUploadId, idempotencyKey }, { signal }) =>
        orProblem(async () => {
          const subject = {
            tenant: tenantField(tenant),
            uploadId,
            label,
            maskUploadId: maskUploadId || null,
            idempotencyKey: idempotencyKeyField(idempotencyKey),
          }
          return { subject: subjectMessage(await subjects.create(subject, signal)) }
        }),
      async GetSubjects({ tenant, ids }) {
        const found = await db.run((queries) => findSubjects(queries, tenantField(tenant), idsField(ids)))
        const byId = new Map(found.map((subject) => [subject.row.id, subject]))
        return { subjects: inOrder(ids, byId).map(subjectMessage) }
      },
      async ListSubjects({ tenant, pageSize, pageToken }) {
        const page = readPageRequest(pageSize, pageToken)
        const { rows, tokens, nextToken } = await db.run((queries) => listSubjects(queries, tenantField(tenant), page))
        return { subjects: rows.map(subjectMessage), pageTokens: [...tokens], nextPageToken: nextToken }
      },
      DeleteSubject: ({ tenant, id }) =>
        orProblem(async () => {
          await subjects.delete(tenantField(tenant), id)
          return { id }
        }),

      CreateGeneration: ({ tenant, subjectId, settings, idempotencyKey }) =>
        orProblem(async () => {
          if (!settings) throw wrongValue('prompt', 'missing', 'a text')
          const row = await generations.create({
            tenant: tenantField(tenant),
            subjectId,
            request: readSettings(settings),
            idempotencyKey: idempotencyKeyField(idempotencyKey),
          })
          return { generation: await message(row) }
        }),
      async GetGenerations({ tenant, ids }) {
        const found = await db.run((queries) => findGenerations(queries, tenantField(tenant), idsField(ids)))
        const byId = new Map(found.map((row) => [row.id, row]))
        return { generations: await messages(inOrder(ids, byId)) }
      },
      async ListGenerations({ tenant, pageSize, pageToken, subjectId, status }) {
        const page = readPageRequest(pageSize, pageToken)
        const filter = {
          subjectId: subjectId || null,
          status: status === 'GENERATION_STATUS_UNSPECIFIED' ? null : wordField('status', status, statuses),
        }
        const { rows, tokens, nextToken } = await db.run((queries) =>
          listGenerations(queries, tenantField(tenant), filter, page),
        )
        return { generations: await messages(rows), pageTokens: [...tokens], nextPageToken: nextToken }
      },
      CancelGeneration: ({ tenant, id }) =>
        orProblem(async () => ({ generation: await message(await generations.cancel(tenantField(tenant), id)) })),
      async *WatchGeneration({ tenant, id, after }, { signal }) {
        for await (const progress of watch({ tenant: tenantField(tenant), id, after }, signal)) yield { progress }
      },

      async GetCapabilities() {
        return capabilitiesMessage(manifest, limits, executionProvider)
      },
    },
    alwaysReady,
  )
}

/** Unknown ones are left out. */
function inOrder<T>(ids: readonly string[], byId: ReadonlyMap<string, T>): T[] {
  return ids.flatMap((id) => byId.get(id) ?? [])
}
