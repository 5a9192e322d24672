import type { NetworkCost } from '../services/lib/runtime/measured-pool.ts'

/** Time and memory by network as a table of text. */
export function costTable(costs: readonly NetworkCost[]): string {
  const rows = costs.map(({ name, weightBytes, loadMs, runs, runMs, residentBytes }) => [
    name,
    gigabytes(weightBytes),
    seconds(loadMs),
    String(runs),
    seconds(runMs / runs),
    gigabytes(residentBytes),
  ])
  const head = ['network', 'weights GB', 'load s', 'runs', 's a run', 'resident GB']
  return [head, ...rows]
    .map(([name, ...columns]) => name!.padEnd(22) + columns.map((text) => text.padStart(13)).join(''))
    .join('\n')
}

const gigabytes = (bytes: number) => (bytes / 1e9).toFixed(2)
const seconds = (ms: number) => (ms / 1000).toFixed(2)
