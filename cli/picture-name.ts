import type { CompleteRequest } from '../services/generation/request.ts'
import { contentHash } from '../services/lib/content-cache.ts'

const longestWords = 60

/**
 * `dog-a-dog-in-a-green-garden-7.png`. Where the words don't say all of label and prompt, as they are cut off or leave signs
 * and capitals out, `dog-a-dog-in-a-green-garden-1b2c3d4e-7.png`: another prompt's picture must not replace this one.
 */
export function pictureName(
  label: string,
  { prompt, method }: Pick<CompleteRequest, 'prompt' | 'method'>,
  seed: number,
): string {
  const text = `${label} ${prompt}`
  const words = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? ['picture']
  const stem = words.join('-').slice(0, longestWords).replace(/-+$/, '')
  const saysAll = text.length === stem.length && words.join(' ') === text
  const hash = saysAll ? '' : `-${contentHash(label, prompt).slice(0, 8)}`
  return `${stem}${hash}${method === 'moma' ? '' : `-${method}`}-${seed}.png`
}
