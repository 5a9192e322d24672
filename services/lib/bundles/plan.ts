import { BundleError } from './errors.ts'
import type { HubFile, HubListing } from './hub.ts'
import type { LockedFile } from './lock.ts'
import type { ExactFile, FileSet, Source } from './manifest.ts'
import { isSafePath, matches, nameOf } from './paths.ts'

function exact(wanted: ExactFile, listing: HubListing): HubFile {
  const where = `${listing.repository} at ${listing.commit}`
  const found = listing.files.find((file) => file.path === wanted.from)
  if (found === undefined) throw new BundleError('notFound', `${where} has no file ${wanted.from}.`)
  if (wanted.sizeBytes !== undefined && wanted.sizeBytes !== found.sizeBytes) {
    const sizes = `${found.sizeBytes} bytes; the manifest allows only ${wanted.sizeBytes}`
    throw new BundleError('checksum', `${where} lists ${wanted.from} with ${sizes}.`)
  }
  // A small file is listed with git's checksum: the manifest's own is then what the bytes are held against.
  if (wanted.sha256 === undefined) return found
  if (found.digest.algorithm === 'sha256' && found.digest.hex !== wanted.sha256) {
    const sums = `the sha256 ${found.digest.hex}; the manifest allows only ${wanted.sha256}`
    throw new BundleError('checksum', `${where} lists ${wanted.from} with ${sums}.`)
  }
  return { ...found, digest: { algorithm: 'sha256', hex: wanted.sha256 } }
}

function firstAlternative(set: FileSet, listing: HubListing): HubFile[] {
  for (const patterns of set.anyOf) {
    const found = patterns.map((pattern) => listing.files.filter((file) => matches(pattern, file.path)))
    if (found.every((files) => files.length > 0)) return [...new Set(found.flat())]
  }
  const wanted = set.anyOf.map((patterns) => patterns.join(' + ')).join(', or ')
  throw new BundleError('notFound', `${listing.repository} at ${listing.commit} has none of: ${wanted}.`)
}

/** Which files a source means, given what its repository holds. Throws `BundleError` for what is missing or not as the manifest knows it. */
export function planSource(source: Source, listing: HubListing): LockedFile[] {
  return source.files.flatMap((wanted) => {
    const found =
      'anyOf' in wanted
        ? firstAlternative(wanted, listing).map((file) => ({ file, to: `${wanted.to}/${nameOf(file.path)}` }))
        : [{ file: exact(wanted, listing), to: wanted.to }]
    return found.map(({ file, to }) => ({
      path: to,
      sizeBytes: file.sizeBytes,
      digest: file.digest,
      origin: { repository: listing.repository, commit: listing.commit, path: file.path },
    }))
  })
}

/** Throws where two sources put a file at the same path, or one has a name that not every file system can hold. */
export function assertWritable(files: readonly LockedFile[]): void {
  const seen = new Map<string, LockedFile>()
  for (const file of files) {
    if (!isSafePath(file.path)) {
      throw new BundleError(
        'unsafePath',
        `${file.origin?.repository} has a file that can't be written as ${JSON.stringify(file.path)}.`,
      )
    }
    const other = seen.get(file.path)
    if (other) {
      const both = [other, file].map(({ origin }) => `${origin?.repository}/${origin?.path}`).join(' and ')
      throw new BundleError('manifest', `The manifest's sources put ${both} at the same path ${file.path}.`)
    }
    seen.set(file.path, file)
  }
}
