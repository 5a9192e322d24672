import type { Graph } from '../graph/build.ts'
import type { ModelFile } from './model-file.ts'
import type { Recipe } from './recipe.ts'

/** What builds a recipe's graph, or names the file that has it. Throws a TypeError where its module has no such function. */
export async function graphBuilder({ module, builder, args }: Recipe): Promise<() => Graph | ModelFile> {
  const exported: Record<string, unknown> = await import(module)
  const build = exported[builder]
  if (typeof build !== 'function') throw new TypeError(`${module} exports no function ${builder}`)
  return () => build(...args)
}
