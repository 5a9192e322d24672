import { relative } from 'node:path'
import { graphBuilder } from '../runtime/graph-builder.ts'
import type { Recipe } from '../runtime/recipe.ts'
import { observingWeights } from '../weights/open-weights.ts'
import { quote, type TensorEntry } from '../weights/tensor-entry.ts'
import type { Weights } from '../weights/weights.ts'
import { type Bundle, networkFiles } from './bundles.ts'
import { type NetworkName, networkOf } from './manifest.ts'

/** Names that a network's files may hold and no network takes. */
export type UnusedTensors = Partial<Readonly<Record<NetworkName, readonly RegExp[]>>>

export interface VerifyNetworksOptions {
  readonly signal?: AbortSignal
  /** Told of every network before its graph is built. */
  readonly onNetwork?: (name: string, done: number, count: number) => void
}

const shownNames = 5

/**
 * Builds the graph of every network from the bundle's files, of which only names and shapes are read, and says in a
 * sentence each what does not fit: tensors that are missing, have another shape or are taken twice by one graph (the
 * first of each network), and those that no network takes and `unused` does not name. Empty where all fits.
 */
export async function verifyNetworks(
  bundle: Bundle,
  networks: readonly Recipe[],
  unused: UnusedTensors,
  { signal, onNetwork }: VerifyNetworksOptions = {},
): Promise<string[]> {
  const patterns = await patternsByFile(bundle, unused)
  const problems = new Set<string>()
  const tensors = new Map<string, TensorEntry>()
  const allowed = new Set<string>()
  const taken = new Set<string>()
  const broken = new Set<string>()
  for (const [done, recipe] of networks.entries()) {
    signal?.throwIfAborted()
    onNetwork?.(recipe.name, done, networks.length)
    const builder = await graphBuilder(recipe)
    const opened: { readonly root: Weights; readonly files: readonly string[] }[] = []
    let failed = false
    try {
      observingWeights((root, files) => opened.push({ root, files }), builder)
    } catch (error) {
      failed = true
      problems.add(`${recipe.name}: ${error instanceof Error ? error.message : error}`)
    }
    for (const { root, files } of opened) {
      const { all, taken: names } = root.account
      // Files may be named by their index.
      const unneeded = files.flatMap((file) => patterns.get(file) ?? [])
      for (const entry of all.tensors.values()) {
        tensors.set(keyOf(entry), entry)
        if (names.has(entry.name)) taken.add(keyOf(entry))
        if (unneeded.some((pattern) => pattern.test(entry.name))) allowed.add(keyOf(entry))
        // A graph that was given up took nothing from there on; that says nothing on the rest of its files.
        if (failed) broken.add(entry.file)
      }
    }
  }
  const left = [...tensors].filter(([key, { file }]) => !taken.has(key) && !allowed.has(key) && !broken.has(file))
  const leftByFile = Map.groupBy(left, ([, { file }]) => file)
  for (const [file, entries] of leftByFile) {
    const names = entries.map(([, { name }]) => quote(name)).sort()
    const more = names.length > shownNames ? ` and ${names.length - shownNames} more` : ''
    problems.add(
      `${relative(bundle.folder, file)}: no network takes the tensors ${names.slice(0, shownNames).join(', ')}${more}.`,
    )
  }
  return [...problems]
}

function keyOf({ file, name }: TensorEntry): string {
  return `${file}\0${name}`
}

async function patternsByFile(bundle: Bundle, unused: UnusedTensors): Promise<Map<string, readonly RegExp[]>> {
  const patterns = new Map<string, readonly RegExp[]>()
  for (const name of Object.keys(unused) as NetworkName[]) {
    if (!networkOf(bundle.manifest, name)) continue
    for (const file of await networkFiles(bundle, name)) {
      patterns.set(file, [...(patterns.get(file) ?? []), ...(unused[name] ?? [])])
    }
  }
  return patterns
}
