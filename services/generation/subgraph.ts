import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildSubgraphSchema } from '@apollo/subgraph'
import { type GraphQLSchema, parse } from 'graphql'
import type { Asset__Output as Asset } from '../lib/mesh/generated/moma/generation/v1/Asset.ts'
import type { CreateUploadResponse__Output as UploadResponse } from '../lib/mesh/generated/moma/generation/v1/CreateUploadResponse.ts'
import type { GeneratedImage__Output as GeneratedImage } from '../lib/mesh/generated/moma/generation/v1/GeneratedImage.ts'
import type { Generation__Output as Generation } from '../lib/mesh/generated/moma/generation/v1/Generation.ts'
import type { GetCapabilitiesResponse__Output as Capabilities } from '../lib/mesh/generated/moma/generation/v1/GetCapabilitiesResponse.ts'
import type { Progress__Output as Progress } from '../lib/mesh/generated/moma/generation/v1/Progress.ts'
import type { StageTiming__Output as StageTiming } from '../lib/mesh/generated/moma/generation/v1/StageTiming.ts'
import type { Subject__Output as Subject } from '../lib/mesh/generated/moma/generation/v1/Subject.ts'
import { shortest } from '../lib/mesh/single-precision.ts'
import type { GenerationClient } from './client.ts'
import { connection, pageRequest } from './graphql/connection.ts'
import { enumValue, stageOf } from './graphql/enum-names.ts'
import {
  type CreateGenerationInput,
  type CreateSubjectInput,
  createGeneration,
  createSubject,
  wrongInput,
} from './graphql/mutations.ts'
import { problemResolvers, toProblem } from './graphql/problems.ts'
import type { ProgressFeed } from './graphql/progress-feed.ts'
import { dateTimeScalar, fromTimestamp, seedScalar } from './graphql/scalars.ts'

/** What the resolvers know of the request: the gateway gives one to every operation, and one to every event of a subscription. */
export interface GenerationContext {
  readonly tenant: string
  readonly generation: GenerationClient
  readonly progress: Pick<ProgressFeed, 'watch'>
  /** Subjects and generations by id, asked for together; null when there is none of the tenant's. */
  readonly subjects: Loader<Subject>
  readonly generations: Loader<Generation>
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal
  /** Where an asset or upload with this token is reached over HTTP. */
  assetUrl(token: string): string
  uploadUrl(token: string): string
}

interface Loader<T> {
  load(id: string): Promise<T | null>
}

/** Most that a GraphQL Int can say; counts of bytes and pixels beyond are said to be this. */
const largestInt = 2 ** 31 - 1

const image = (asset: Asset | null, context: GenerationContext) =>
  asset && {
    url: context.assetUrl(asset.token),
    width: asset.widthPx,
    height: asset.heightPx,
    contentType: asset.contentType,
    byteLength: Math.min(asset.byteLength, largestInt),
  }

interface PageArguments {
  readonly first?: number | null
  readonly after?: string | null
}

const generationsPage = async (
  { first, after }: PageArguments,
  { subjectId = '', status }: { readonly subjectId?: string; readonly status?: string | null },
  { tenant, generation, signal }: GenerationContext,
) => {
  const request = {
    tenant,
    ...pageRequest(first, after),
    subjectId,
    status: `GENERATION_STATUS_${status ?? 'UNSPECIFIED'}` as Generation['status'],
  }
  const page = await generation.listGenerations(request, signal)
  return connection(page.generations, page, request)
}

const resolvers = {
  DateTime: dateTimeScalar,
  Seed: seedScalar,

  Query: {
    subject: (_: unknown, { id }: { id: string }, { subjects }: GenerationContext) => subjects.load(id),
    async subjects(_: unknown, { first, after }: PageArguments, { tenant, generation, signal }: GenerationContext) {
      const request = { tenant, ...pageRequest(first, after) }
      const page = await generation.listSubjects(request, signal)
      return connection(page.subjects, page, request)
    },
    generation: (_: unknown, { id }: { id: string }, { generations }: GenerationContext) => generations.load(id),
    generations: (
      _: unknown,
      { subjectId, status, ...page }: PageArguments & { subjectId?: string | null; status?: string | null },
      context: GenerationContext,
    ) => generationsPage(page, { subjectId: subjectId ?? '', status: status ?? null }, context),
    capabilities: (_: unknown, __: unknown, { generation, signal }: GenerationContext) =>
      generation.getCapabilities({}, signal),
  },

  Mutation: {
    async createUpload(
      _: unknown,
      { input }: { input: { contentType: string; byteLength: number; sha256?: string | null } },
      { tenant, generation, signal }: GenerationContext,
    ) {
      const { contentType, byteLength, sha256 } = input
      // Protobuf has no negative lengths to refuse on the other side.
      if (byteLength < 1) return { problem: wrongInput('byteLength', byteLength, 'a whole number from 1') }
      const answer = await generation.createUpload({ tenant, contentType, byteLength, sha256: sha256 ?? '' }, signal)
      return { ...answer, contentType }
    },
    createSubject: (_: unknown, { input }: { input: CreateSubjectInput }, context: GenerationContext) =>
      createSubject(input, context),
    createGeneration: (_: unknown, { input }: { input: CreateGenerationInput }, context: GenerationContext) =>
      createGeneration(input, context),
    async cancelGeneration(_: unknown, { id }: { id: string }, { tenant, generation, signal }: GenerationContext) {
      const answer = await generation.cancelGeneration({ tenant, id }, signal)
      return toProblem(answer.problem) ?? { __typename: 'Generation', ...answer.generation }
    },
    async deleteSubject(_: unknown, { id }: { id: string }, { tenant, generation, signal }: GenerationContext) {
      const answer = await generation.deleteSubject({ tenant, id }, signal)
      return toProblem(answer.problem) ?? { __typename: 'DeletedSubject', id: answer.id }
    },
  },

  Subscription: {
    generationProgress: {
      subscribe: (
        _: unknown,
        { id, after }: { id: string; after?: string | null },
        { tenant, progress, signal }: GenerationContext,
      ) => progress.watch({ tenant, id, after: after ?? '' }, signal),
      resolve: (progress: Progress, { id }: { id: string }) => ({ ...progress, generationId: id }),
    },
  },

  CreateUploadPayload: {
    uploadId: ({ uploadId }: UploadResponse) => uploadId || null,
    url: ({ token }: UploadResponse, _: unknown, context: GenerationContext) =>
      token ? context.uploadUrl(token) : null,
    method: ({ token }: UploadResponse) => (token ? 'PUT' : null),
    headers: ({ token, contentType }: UploadResponse & { contentType: string }) =>
      token ? [{ name: 'Content-Type', value: contentType }] : [],
    expiresAt: ({ expireTime }: UploadResponse) => fromTimestamp(expireTime),
    problem: ({ problem }: UploadResponse) => toProblem(problem),
  },

  Subject: {
    __resolveReference: ({ id }: { id: string }, { subjects }: GenerationContext) => subjects.load(id),
    status: ({ status }: Subject) => enumValue('SUBJECT_STATUS_', status),
    image: ({ image: asset }: Subject, _: unknown, context: GenerationContext) => image(asset, context),
    mask: ({ mask }: Subject, _: unknown, context: GenerationContext) => image(mask, context),
    generations: ({ id }: Subject, page: PageArguments, context: GenerationContext) =>
      generationsPage(page, { subjectId: id }, context),
    createdAt: ({ createTime }: Subject) => fromTimestamp(createTime),
    recordedVerdict: ({ verdict }: Subject) => verdict,
  },

  Generation: {
    __resolveReference: ({ id }: { id: string }, { generations }: GenerationContext) => generations.load(id),
    status: ({ status }: Generation) => enumValue('GENERATION_STATUS_', status),
    stage: ({ stage }: Generation) => stageOf(stage),
    subject: ({ subjectId }: Generation, _: unknown, { subjects }: GenerationContext) => subjects.load(subjectId),
    prompt: ({ settings }: Generation) => settings?.prompt,
    negativePrompt: ({ settings }: Generation) => settings?.negativePrompt,
    task: ({ settings }: Generation) => enumValue('TASK_', settings?.task),
    method: ({ settings }: Generation) => enumValue('METHOD_', settings?.method),
    sampler: ({ settings }: Generation) => enumValue('SAMPLER_', settings?.sampler),
    strength: ({ settings }: Generation) => float(settings?.strength),
    guidance: ({ settings }: Generation) => float(settings?.guidance),
    steps: ({ settings }: Generation) => settings?.steps,
    count: ({ settings }: Generation) => settings?.count,
    seed: ({ settings }: Generation) => settings?.seed,
    progress: ({ step, fraction, settings }: Generation) => ({
      step,
      steps: settings?.steps,
      fraction: shortest(fraction),
    }),
    problem: ({ problem }: Generation) => toProblem(problem),
    createdAt: ({ createTime }: Generation) => fromTimestamp(createTime),
    startedAt: ({ startTime }: Generation) => fromTimestamp(startTime),
    completedAt: ({ completeTime }: Generation) => fromTimestamp(completeTime),
    recordedVerdict: ({ promptVerdict }: Generation) => promptVerdict,
  },

  StageTiming: {
    stage: ({ stage }: StageTiming) => stageOf(stage),
    ms: ({ elapsedMs }: StageTiming) => elapsedMs,
  },

  GeneratedImage: {
    url: ({ image: asset }: GeneratedImage, _: unknown, context: GenerationContext) => image(asset, context)?.url,
    width: ({ image: asset }: GeneratedImage) => asset?.widthPx,
    height: ({ image: asset }: GeneratedImage) => asset?.heightPx,
    mask: ({ mask }: GeneratedImage, _: unknown, context: GenerationContext) => image(mask, context),
    recordedVerdict: ({ verdict }: GeneratedImage) => verdict,
  },

  GenerationProgress: {
    generation: ({ generationId }: { generationId: string }, _: unknown, { generations }: GenerationContext) =>
      generations.load(generationId),
    status: ({ status }: Progress) => enumValue('GENERATION_STATUS_', status),
    stage: ({ stage }: Progress) => stageOf(stage),
    fraction: ({ fraction }: Progress) => shortest(fraction),
    preview: ({ preview }: Progress, _: unknown, context: GenerationContext) => image(preview, context),
    mask: ({ mask }: Progress, _: unknown, context: GenerationContext) => image(mask, context),
    observedAt: ({ time }: Progress) => fromTimestamp(time),
  },

  Capabilities: {
    samplers: ({ samplers }: Capabilities) => samplers.map((sampler) => enumValue('SAMPLER_', sampler)),
    methods: ({ methods }: Capabilities) => methods.map((method) => enumValue('METHOD_', method)),
    limits: (answer: Capabilities) => ({
      uploadBytes: Math.min(answer.maxUploadBytes, largestInt),
      pixels: Math.min(answer.maxPixels, largestInt),
      promptLength: answer.maxPromptLength,
      count: answer.maxCount,
      steps: answer.maxSteps,
      queued: answer.maxQueued,
    }),
    defaults: ({ defaults }: Capabilities) =>
      defaults && {
        steps: defaults.steps,
        guidance: shortest(defaults.guidance),
        strengthRecontextualize: shortest(defaults.strengthRecontextualize),
        strengthRetexture: shortest(defaults.strengthRetexture),
      },
  },

  ...problemResolvers,
}

/** Of settings, which the service always fills in. */
const float = (value: number | undefined) => (value === undefined ? undefined : shortest(value))

export const typeDefs: string = readFileSync(join(import.meta.dirname, 'schema.graphql'), 'utf8')

/** What the generation service adds to the supergraph; resolvers want a GenerationContext. */
export const schema: GraphQLSchema = buildSubgraphSchema([{ typeDefs: parse(typeDefs), resolvers }])
