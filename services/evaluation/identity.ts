import { stat } from 'node:fs/promises'
import type { CompleteRequest } from '../generation/request.ts'
import type { Subject } from '../generation/subject.ts'
import { type Bundle, networkFiles } from '../lib/bundles/bundles.ts'
import { type Manifest, type NetworkName, networkOf } from '../lib/bundles/manifest.ts'
import { contentHash } from '../lib/content-cache.ts'

/** Raised where the way from a request to its pictures or embeddings changes: journals of before then count for nothing. */
const codeVersion = 1

/** Says whether pictures of a bundle could be other ones now: a hash of its manifest and of its files' sizes and times. */
export async function bundleIdentity(bundle: Bundle): Promise<string> {
  const parts = [JSON.stringify(bundle.manifest)]
  for (const name of networkNames(bundle.manifest)) {
    for (const file of await networkFiles(bundle, name)) {
      const { size, mtimeMs } = await stat(file)
      parts.push(file, String(size), String(mtimeMs))
    }
  }
  return contentHash(...parts)
}

/** Hash of everything that decides a request's pictures and their embeddings. */
export function unitKey(identity: string, subject: Subject, request: CompleteRequest): string {
  return contentHash(String(codeVersion), identity, subject.contentHash, subject.label, JSON.stringify(request))
}

function networkNames(manifest: Manifest): NetworkName[] {
  const metrics: readonly NetworkName[] = ['metrics.dino', 'metrics.clipVision', 'metrics.clipText']
  // A parsed manifest has no other fields than its networks here.
  const networks = Object.keys(manifest.networks) as (keyof Manifest['networks'])[]
  return [...networks, ...metrics].filter((name) => networkOf(manifest, name) !== undefined)
}
