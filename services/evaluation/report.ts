import type { CompleteRequest, Method } from '../generation/request.ts'
import { type MetricName, metricNames, metrics } from './metric-list.ts'
import { isPaperSet, type PaperRow, paperAverage, paperRow } from './paper-table.ts'
import type { PromptKind } from './prompts.ts'
import type { Estimate } from './statistics.ts'
import type { Difference, JudgedOrdering, Result, Summary } from './summary.ts'

/** What was evaluated, and how. */
export interface EvaluationSettings {
  readonly bundle: string
  /** Whether the bundle's weights are random numbers. */
  readonly rehearsal: boolean
  readonly seed: number
  readonly promptsPerKind: number | null
  readonly count: number
  readonly sizePx: number
  readonly sampler: CompleteRequest['sampler']
  readonly steps: number
  readonly guidance: number
  readonly strength: Readonly<Record<PromptKind, number>>
  readonly methods: readonly Method[]
}

export interface ReportSubject {
  readonly name: string
  readonly label: string
  readonly class: string
  readonly photos: number
  /** Whether the mask of what it is drawn from was given, or found by the photo's transparency or the segmentation network. */
  readonly mask: 'given' | 'found'
}

/** All that an evaluation found, as JSON: nothing in it depends on when or how often interrupted it was made. */
export interface Report {
  readonly formatVersion: 1
  readonly settings: EvaluationSettings
  readonly subjects: readonly ReportSubject[]
  readonly metrics: Readonly<Record<MetricName, { readonly title: string; readonly meaning: string }>>
  /** What guessing would reach in the shares of recognised pictures. */
  readonly chance: Partial<Record<MetricName, number>>
  readonly averages: Readonly<Record<string, Readonly<Record<MetricName, Estimate | null>>>>
  readonly bySubject: Readonly<Record<string, Readonly<Record<string, Readonly<Record<MetricName, number | null>>>>>>
  readonly differences: readonly Difference[]
  readonly orderings: readonly JudgedOrdering[]
  /** The paper's Table 1; null unless the subjects are the paper's. */
  readonly paper: { readonly average: PaperRow; readonly bySubject: Readonly<Record<string, PaperRow>> } | null
  readonly pictures: readonly Result[]
}

export interface ReportParts {
  readonly settings: EvaluationSettings
  readonly subjects: readonly ReportSubject[]
  readonly summary: Summary
  readonly chance: Report['chance']
  readonly results: readonly Result[]
}

export function reportOf({ settings, subjects, summary, chance, results }: ReportParts): Report {
  const names = subjects.map(({ name }) => name)
  return {
    formatVersion: 1,
    settings,
    subjects,
    metrics: Object.fromEntries(
      metricNames.map((name) => [name, { title: metrics[name].title, meaning: metrics[name].meaning }]),
    ) as Report['metrics'],
    chance,
    averages: Object.fromEntries(summary.averages),
    bySubject: Object.fromEntries(
      [...summary.bySubject].map(([subject, byMethod]) => [subject, Object.fromEntries(byMethod)]),
    ),
    differences: summary.differences,
    orderings: summary.orderings,
    paper: isPaperSet(names) ? { average: paperAverage, bySubject: paperRows(names) } : null,
    pictures: results,
  }
}

function paperRows(names: readonly string[]): Record<string, PaperRow> {
  const rows: Record<string, PaperRow> = {}
  for (const name of names) {
    const row = paperRow(name)
    if (row) rows[name] = row
  }
  return rows
}
