import { BundleError } from './errors.ts'

const longestPath = 512

/** Whether a path from outside names something below the folder it is joined to: no `..`, nothing absolute, no other separators. */
function staysInside(path: string): boolean {
  if (path.length === 0 || path.length > longestPath || /[\\\p{Cc}]/u.test(path)) return false
  return path
    .split('/')
    .every((segment) => segment !== '' && segment !== '.' && segment !== '..' && segment.length <= 255)
}

/** Whether a file may be written at this relative path: it stays inside, and no file system gives one of its characters a meaning. */
export function isSafePath(path: string): boolean {
  return staysInside(path) && !/[:*?"<>|]/.test(path)
}

/** Like `isSafePath`, but the last segment may hold `*` for any run of characters within it. */
export function isSafePattern(pattern: string): boolean {
  const folder = pattern.slice(0, pattern.lastIndexOf('/') + 1)
  return !folder.includes('*') && isSafePath(pattern.replaceAll('*', 'x'))
}

/** Whether `path` is named by `pattern`; `*` stands for any characters but `/`. */
export function matches(pattern: string, path: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.+^${}()|[\]\\?]/g, '\\$&'))
  return new RegExp(`^${parts.join('[^/]*')}$`, 'u').test(path)
}

/** Throws `unsafePath` for a listed path that would leave its folder; `listing` says who sent it. */
export function assertInside(path: string, listing: string): void {
  if (staysInside(path)) return
  throw new BundleError(
    'unsafePath',
    `${listing} lists the file ${JSON.stringify(path.slice(0, 200))}; allowed: relative paths with forward slashes and without "..".`,
  )
}

export const folderOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')))
export const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1)
