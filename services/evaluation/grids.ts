import type { Method } from '../generation/request.ts'
import type { PromptKind } from './prompts.ts'
import type { Result } from './summary.ts'

/** One column of a grid: what one draw became by every method. */
export interface GridColumn {
  readonly subject: string
  readonly prompt: string
  readonly pictures: ReadonlyMap<Method, Result>
}

const columns = 8

/**
 * Eight draws of a kind, nothing selected: the first picture of every subject's first prompt, then of its second, and
 * when those are used up the second pictures.
 */
export function gridOf(results: readonly Result[], kind: PromptKind): GridColumn[] {
  const draws = new Map<string, { column: GridColumn; pictures: Map<Method, Result>; turn: number }>()
  const promptsSeen = new Map<string, string[]>()
  const seedsSeen = new Map<string, number[]>()
  for (const result of results) {
    if (result.kind !== kind) continue
    const { subject, prompt, seed, method } = result
    const promptIndex = placeIn(promptsSeen, subject, prompt)
    const pictureIndex = placeIn(seedsSeen, `${subject}\n${prompt}`, seed)
    const name = JSON.stringify([subject, prompt, seed])
    const pictures = draws.get(name)?.pictures ?? new Map<Method, Result>()
    pictures.set(method, result)
    draws.set(name, { column: { subject, prompt, pictures }, pictures, turn: pictureIndex * 1000 + promptIndex })
  }
  return [...draws.values()]
    .sort((a, b) => a.turn - b.turn)
    .slice(0, columns)
    .map(({ column }) => column)
}

/** The paper's own form: all eight pictures of the first draw of a kind; empty where fewer were drawn of a prompt. */
export function eightOf(results: readonly Result[], kind: PromptKind): GridColumn[] {
  const first = results.find((result) => result.kind === kind)
  const same = results.filter(({ subject, prompt }) => subject === first?.subject && prompt === first.prompt)
  const grid = gridOf(same, kind)
  return grid.length === columns ? grid : []
}

/** Which of the different items under a key this one is, in the order in which they came. */
function placeIn<T>(seen: Map<string, T[]>, key: string, item: T): number {
  const items = seen.get(key) ?? []
  if (!items.includes(item)) items.push(item)
  seen.set(key, items)
  return items.indexOf(item)
}
