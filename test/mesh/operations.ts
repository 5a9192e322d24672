import { rehearsalPhoto } from '../../services/lib/rehearsal/photo.ts'
import type { MeshHttpClient } from './client.ts'

/** The operations that the tests of a whole mesh are made of. */

export interface Generation {
  readonly id: string
  readonly status: string
  readonly problem: { readonly message: string } | null
  readonly images: readonly {
    readonly index: number
    readonly seed: number
    readonly url: string
  }[]
  readonly timings: readonly { readonly stage: string; readonly ms: number }[]
  readonly createdAt: string
  readonly startedAt: string | null
  readonly completedAt: string | null
}

const generationFields = `id status problem { message } images { index seed url } timings { stage ms }
  createdAt startedAt completedAt`

/** A subject of the rehearsal's photo; the same key gives the same subject. */
export async function createSubject(client: MeshHttpClient, idempotencyKey?: string): Promise<string> {
  const { photo, mask } = await rehearsalPhoto()
  const input = {
    uploadId: await client.upload(photo, 'image/png'),
    maskUploadId: await client.upload(mask, 'image/png'),
    label: 'toy',
    idempotencyKey,
  }
  return expectOf(await askForSubject(client, input), 'Subject').id
}

export interface SubjectInput {
  readonly uploadId: string
  readonly maskUploadId?: string
  readonly label: string
  readonly idempotencyKey?: string | undefined
}

/** The answer of createSubject as it is: a subject or a problem. */
export async function askForSubject(
  client: MeshHttpClient,
  input: SubjectInput,
): Promise<Result<{ readonly id: string }>> {
  const { createSubject: result } = await client.ask<{ createSubject: Result<{ id: string }> }>(
    `mutation ($input: CreateSubjectInput!) {
      createSubject(input: $input) { __typename ... on Subject { id } ... on Problem { message } }
    }`,
    { input },
  )
  return result
}

export interface GenerationInput {
  readonly subjectId: string
  readonly prompt?: string
  readonly steps?: number
  readonly seed?: number
  readonly count?: number
  readonly idempotencyKey?: string
}

/** The answer of createGeneration as it is: a generation or a problem. */
export async function askForGeneration(
  client: MeshHttpClient,
  input: GenerationInput,
): Promise<Result<{ readonly id: string; readonly status: string }>> {
  const { createGeneration } = await client.ask<{ createGeneration: Result<{ id: string; status: string }> }>(
    `mutation ($input: CreateGenerationInput!) {
      createGeneration(input: $input) { __typename ... on Generation { id status } ... on Problem { message } }
    }`,
    { input: { prompt: 'a toy on a beach at sunset', ...input } },
  )
  return createGeneration
}

export async function createGeneration(client: MeshHttpClient, input: GenerationInput): Promise<string> {
  return expectOf(await askForGeneration(client, input), 'Generation').id
}

/** Null where there is none. */
export async function getGeneration(client: MeshHttpClient, id: string): Promise<Generation | null> {
  const { generation } = await client.ask<{ generation: Generation | null }>(
    `query ($id: ID!) { generation(id: $id) { ${generationFields} } }`,
    { id },
  )
  return generation
}

export async function cancelGeneration(client: MeshHttpClient, id: string): Promise<string> {
  const { cancelGeneration: result } = await client.ask<{ cancelGeneration: Result<{ status: string }> }>(
    `mutation ($id: ID!) {
      cancelGeneration(id: $id) { __typename ... on Generation { status } ... on Problem { message } }
    }`,
    { id },
  )
  return expectOf(result, 'Generation').status
}

export async function deleteSubject(client: MeshHttpClient, id: string): Promise<string> {
  const { deleteSubject: result } = await client.ask<{ deleteSubject: Result<{ id: string }> }>(
    `mutation ($id: ID!) {
      deleteSubject(id: $id) { __typename ... on DeletedSubject { id } ... on Problem { message } }
    }`,
    { id },
  )
  return expectOf(result, 'DeletedSubject').id
}

export const hasEnded = (status: string): boolean => ['SUCCEEDED', 'FAILED', 'REJECTED', 'CANCELED'].includes(status)

/** A thing, or a Problem. */
export type Result<Thing> = Partial<Thing> & { readonly __typename: string; readonly message?: string }

function expectOf<Thing>(result: Result<Thing>, typename: string): Thing {
  if (result.__typename === typename) return result as Thing
  throw new Error(`${result.__typename}: ${result.message}`)
}
