import { signal } from '@preact/signals'
import {
  CapabilitiesDocument,
  type CapabilitiesQuery,
  CreateUploadDocument,
  type ProblemPartsFragment,
  type TypedDocumentString,
} from '../generated/operations'

export type Problem = Pick<ProblemPartsFragment, 'code' | 'message'> & Partial<ProblemPartsFragment>

/** What the API answered instead of a thing. */
export class Refusal extends Error {
  readonly problem: Problem
  constructor(problem: Problem) {
    super(problem.message)
    this.problem = problem
  }
}

/** The API key of this tab; empty where none is needed. */
export const apiKey = signal(sessionStorage.getItem('moma-key') ?? '')
/** Whether the gateway wants a key, or another one. */
export const keyNeeded = signal(false)
export const capabilities = signal<CapabilitiesQuery['capabilities'] | null>(null)

export function useKey(key: string): void {
  apiKey.value = key
  sessionStorage.setItem('moma-key', key)
  keyNeeded.value = false
}

const reach = (url: string, init: RequestInit): Promise<Response> =>
  fetch(url, init).catch(() => {
    throw new Error('The mesh can not be reached. Check that it runs and that you are online, then try again.')
  })

/** What an answer says; nothing where it is no JSON, as what a proxy answers in the mesh's place. */
const read = async <Said>(response: Response): Promise<Partial<Said>> => response.json().catch(() => ({}))
const unsaid = ({ status }: Response) => `The mesh answered with status ${status}.`

/** A query or mutation. Throws an Error with a sentence for people. */
export async function ask<Data, Variables>(
  document: TypedDocumentString<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  const response = await reach('/graphql', {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json',
      ...(apiKey.value ? { authorization: `Bearer ${apiKey.value}` } : {}),
    },
    body: JSON.stringify({ query: String(document), variables }),
  })
  if (response.status === 401) keyNeeded.value = true
  const { data, errors } = await read<{ data: Data; errors: readonly { message: string }[] }>(response)
  if (!data || errors) throw new Error(errors?.[0]?.message ?? unsaid(response))
  return data
}

/** The thing of a result. Throws a Refusal where it is a problem. */
export function thingOf<Result extends object>(result: Result): Exclude<Result, { code: unknown }> {
  if ('code' in result) throw new Refusal(result as unknown as Problem)
  return result as Exclude<Result, { code: unknown }>
}

export async function loadCapabilities(): Promise<void> {
  capabilities.value = (await ask(CapabilitiesDocument, {})).capabilities
}

/** An address of the API as this page reaches it: the same gateway, whatever name it goes by outside. */
export const ownAddress = (url: string): string => new URL(url).pathname.replace(/^.*(?=\/(assets|uploads)\/)/, '')

/** Sends a picture; its upload's id. */
export async function upload(file: Blob): Promise<string> {
  const input = { contentType: file.type, byteLength: file.size }
  const { createUpload: room } = await ask(CreateUploadDocument, { input })
  if (room.problem) throw new Refusal(room.problem as Problem)
  const headers = Object.fromEntries(room.headers.map(({ name, value }) => [name, value]))
  const response = await reach(ownAddress(room.url!), { method: room.method!, headers, body: file })
  if (!response.ok) throw new Error((await read<{ detail: string }>(response)).detail ?? unsaid(response))
  return room.uploadId!
}
