import type { Method } from '../generation/request.ts'
import type { Measures } from './measures.ts'
import { type MetricName, metricNames, metrics, type StatedOrdering, statedOrderings } from './metric-list.ts'
import type { PromptKind } from './prompts.ts'
import { type Estimate, estimate, mean, pairedDifference, type Verdict, verdictOf } from './statistics.ts'

/** One generated picture and its numbers. */
export interface Result {
  readonly subject: string
  readonly kind: PromptKind
  readonly promptKey: string
  readonly prompt: string
  readonly method: Method
  readonly seed: number
  /** Relative to the report's folder. */
  readonly file: string
  readonly measures: Measures
}

type ByMetric<T> = Readonly<Record<MetricName, T>>

export interface Difference {
  readonly metric: MetricName
  readonly method: Method
  /** MoMA minus the method, on the same draws. */
  readonly momaAbove: Estimate
}

export interface JudgedOrdering extends StatedOrdering {
  readonly difference: Estimate
  readonly verdict: Verdict
}

export interface Summary {
  /** Means over the subjects' means. */
  readonly averages: ReadonlyMap<Method, ByMetric<Estimate | null>>
  readonly bySubject: ReadonlyMap<string, ReadonlyMap<Method, ByMetric<number | null>>>
  /** Of every other method to MoMA; empty without MoMA. */
  readonly differences: readonly Difference[]
  /** Those of the paper's orderings whose methods were drawn. */
  readonly orderings: readonly JudgedOrdering[]
}

export function summarise(
  results: readonly Result[],
  subjects: readonly string[],
  methods: readonly Method[],
): Summary {
  const groups = groupBySubject(results)
  const meansOf = (method: Method, metric: MetricName): Map<string, number> => {
    const means = new Map<string, number>()
    for (const subject of subjects) {
      const value = metricMean(groups.get(subject)?.get(method) ?? [], metric)
      if (value !== null) means.set(subject, value)
    }
    return means
  }
  const difference = (metric: MetricName, better: Method, worse: Method) =>
    pairedDifference(meansOf(better, metric), meansOf(worse, metric))

  return {
    averages: new Map(
      methods.map((method) => [method, everyMetric((metric) => estimate([...meansOf(method, metric).values()]))]),
    ),
    bySubject: new Map(
      subjects.map((subject) => [
        subject,
        new Map(
          methods.map((method) => [
            method,
            everyMetric((metric) => metricMean(groups.get(subject)?.get(method) ?? [], metric)),
          ]),
        ),
      ]),
    ),
    differences: methods
      .filter((method) => method !== 'moma')
      .flatMap((method) =>
        metricNames.flatMap((metric) => {
          const momaAbove = difference(metric, 'moma', method)
          return momaAbove ? [{ metric, method, momaAbove }] : []
        }),
      ),
    orderings: statedOrderings.flatMap((stated) => {
      const found = difference(stated.metric, stated.better, stated.worse)
      return found ? [{ ...stated, difference: found, verdict: verdictOf(found) }] : []
    }),
  }
}

function groupBySubject(results: readonly Result[]): Map<string, Map<Method, Result[]>> {
  const groups = new Map<string, Map<Method, Result[]>>()
  for (const result of results) {
    const methods = groups.get(result.subject) ?? new Map<Method, Result[]>()
    const group = methods.get(result.method) ?? []
    group.push(result)
    methods.set(result.method, group)
    groups.set(result.subject, methods)
  }
  return groups
}

function metricMean(results: readonly Result[], name: MetricName): number | null {
  const { kind, of } = metrics[name]
  const taken = kind === null ? results : results.filter((result) => result.kind === kind)
  const values = taken.map(({ measures }) => of(measures))
  return mean(values.filter((value) => value !== null))
}

function everyMetric<T>(of: (metric: MetricName) => T): ByMetric<T> {
  // Object.fromEntries forgets its keys; these are all of the metrics' names.
  return Object.fromEntries(metricNames.map((metric) => [metric, of(metric)])) as ByMetric<T>
}
