import { Metadata } from '@grpc/grpc-js'
import { type CallFields, callFields } from './log.ts'

/** Names under which a call's fields travel. */
const fieldKeys = { requestId: 'moma-request-id', generationId: 'moma-generation-id' } as const

/** The fields of the work that calls, to be sent along. */
export function callMetadata(): Metadata {
  const sent = new Metadata()
  const { requestId, generationId } = callFields()
  if (requestId !== undefined) sent.set(fieldKeys.requestId, requestId)
  if (generationId !== undefined) sent.set(fieldKeys.generationId, generationId)
  return sent
}

/** What a caller has sent along, where it has the form of such fields. */
export function readCallMetadata(metadata: Metadata): CallFields {
  const read = (key: string) => {
    const [value] = metadata.get(key)
    return typeof value === 'string' && /^[\w.:-]{1,128}$/.test(value) ? value : undefined
  }
  const requestId = read(fieldKeys.requestId)
  const generationId = read(fieldKeys.generationId)
  return { ...(requestId === undefined ? {} : { requestId }), ...(generationId === undefined ? {} : { generationId }) }
}
