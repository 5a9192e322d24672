import type { Method } from '../generation/request.ts'
import { barChart, escapeText } from './bar-chart.ts'
import type { GridColumn } from './grids.ts'
import { type MetricName, metricNames, metrics } from './metric-list.ts'
import type { PaperRow } from './paper-table.ts'
import type { PromptKind } from './prompts.ts'
import type { Report } from './report.ts'
import type { Estimate } from './statistics.ts'

/** The pictures that the page shows, as data URIs: it loads nothing from anywhere. */
export interface ReportPictures {
  /** By the file that `Result.file` names. */
  readonly generated: ReadonlyMap<string, string>
  /** The photo that a subject was drawn from. */
  readonly references: ReadonlyMap<string, string>
}

const methodTitles: Readonly<Record<Method, string>> = {
  moma: 'MoMA',
  'ip-adapter': 'IP-Adapter',
  'no-mask': 'without the mask',
  'no-subject': 'without the subject branch',
  'no-mllm': 'without the MLLM',
}

/** Apart for people who see colours otherwise (Okabe and Ito). */
const methodColours: Readonly<Record<Method, string>> = {
  moma: '#0072b2',
  'ip-adapter': '#e69f00',
  'no-mask': '#009e73',
  'no-subject': '#cc79a7',
  'no-mllm': '#d55e00',
}

const similarities: readonly MetricName[] = ['dino', 'clipI', 'clipTContext', 'clipTTexture']
const shares: readonly MetricName[] = ['thingRecognised', 'placeRecognised', 'textureRecognised', 'maskIou']
const gridTitles: Readonly<Record<PromptKind, string>> = { context: 'Change of context', texture: 'Change of texture' }

export interface ReportGrid {
  readonly kind: PromptKind
  /** Whether all columns are pictures of one subject and prompt. */
  readonly sameDraw: boolean
  readonly columns: readonly GridColumn[]
}

/** The report as one page without scripts, styles or pictures from elsewhere. */
export function reportHtml(report: Report, grids: readonly ReportGrid[], pictures: ReportPictures): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Evaluation of ${escapeText(report.settings.bundle)}</title>
<style>${style}</style>
<h1>Evaluation of ${escapeText(report.settings.bundle)}</h1>
${protocol(report)}
<h2>Averages</h2>
${averages(report)}
${charts(report)}
<h2>What the paper states, or its claim implies</h2>
${orderings(report)}
<h2>MoMA minus each other method</h2>
${differences(report)}
${grids.map((one) => grid(one, report.settings.methods, pictures)).join('\n')}
<h2>By subject</h2>
${bySubject(report)}
<h2>How it is measured</h2>
${meanings(report)}
</html>
`
}

function protocol({ settings, subjects, pictures }: Report): string {
  const { count, promptsPerKind, steps, sampler, guidance, strength, sizePx, seed } = settings
  const prompts = promptsPerKind === null ? 'all prompts' : `${promptsPerKind} prompts of each kind`
  const found = subjects.filter(({ mask }) => mask === 'found').length
  const rehearsal = settings.rehearsal
    ? '<p class="warning">The weights are random numbers: nothing here says anything of MoMA.</p>'
    : ''
  return `${rehearsal}<p>${subjects.length} subjects, ${prompts}, ${count} ${count === 1 ? 'picture' : 'pictures'} a prompt, ${pictures.length} pictures in all; every method drew the same prompts from the same seeds (${seed}). ${sizePx} × ${sizePx} px, ${escapeText(sampler)}, ${steps} steps, guidance ${guidance}, strength ${strength.context} for contexts and ${strength.texture} for textures.${found > 0 ? ` Subjects whose mask was not given but found: ${found}.` : ''} Errors are standard errors over subjects.</p>`
}

function averages({ averages: found, settings, paper, chance }: Report): string {
  const rows = settings.methods.map((method) => {
    const cells = metricNames.map((metric) => cell(show(found[method]?.[metric] ?? null)))
    return `<tr><th>${methodTitles[method]}</th>${cells.join('')}</tr>${paper ? paperRowHtml(method, paper.average) : ''}`
  })
  const guesses = metricNames.map((metric) => cell(chance[metric] === undefined ? '' : chance[metric].toFixed(3)))
  return table(
    ['', ...metricNames.map((metric) => metrics[metric].title)],
    [...rows, `<tr class="paper"><th>guessing</th>${guesses.join('')}</tr>`],
  )
}

/** `before`: cells between the row's name and its numbers. */
function paperRowHtml(method: Method, row: PaperRow, before = ''): string {
  const numbers: Partial<Record<MetricName, number>> | undefined = row[method]
  if (!numbers) return ''
  const cells = metricNames.map((metric) => cell(numbers[metric]?.toFixed(3) ?? ''))
  return `<tr class="paper"><th>the paper's ${methodTitles[method]}</th>${before}${cells.join('')}</tr>`
}

function charts({ averages: found, settings }: Report): string {
  const legend = settings.methods
    .map((method) => `<span><i style="background:${methodColours[method]}"></i>${methodTitles[method]}</span>`)
    .join(' ')
  const chart = (names: readonly MetricName[]) =>
    barChart(
      names.map((name) => metrics[name].title),
      settings.methods.map((method) => ({
        name: methodTitles[method],
        colour: methodColours[method],
        bars: names.map((name) => found[method]?.[name] ?? null),
      })),
    )
  return `<p class="legend">${legend}</p><div class="charts">${chart(similarities)}${chart(shares)}</div>`
}

function orderings({ orderings: judged }: Report): string {
  if (judged.length === 0) return '<p>The methods that it compares were not drawn.</p>'
  const rows = judged.map(
    ({ statement, metric, worse, difference, verdict }) =>
      `<tr><th>${escapeText(statement)}</th>${cell(`${metrics[metric].title}, MoMA − ${methodTitles[worse]}`)}${cell(show(difference))}${cell(verdict, verdict)}</tr>`,
  )
  return `${table(['by the paper', 'difference on the same draws', '', 'here it'], rows)}<p class="note">“holds” and “reversed” are more than two standard errors from zero.</p>`
}

function differences({ differences: found, settings }: Report): string {
  const others = settings.methods.filter((method) => method !== 'moma')
  if (found.length === 0) return '<p>MoMA and another method were not drawn together.</p>'
  const rows = others.map((method) => {
    const cells = metricNames.map((metric) =>
      cell(show(found.find((one) => one.method === method && one.metric === metric)?.momaAbove ?? null, true)),
    )
    return `<tr><th>${methodTitles[method]}</th>${cells.join('')}</tr>`
  })
  return table(['', ...metricNames.map((metric) => metrics[metric].title)], rows)
}

function grid({ kind, sameDraw, columns }: ReportGrid, methods: readonly Method[], pictures: ReportPictures): string {
  if (columns.length === 0) return ''
  const image = (source: string | undefined, alt: string) =>
    `<td>${source ? `<img src="${source}" alt="${escapeText(alt)}">` : ''}</td>`
  const head = columns.map(({ prompt }) => `<th>${escapeText(prompt)}</th>`).join('')
  const photos = columns.map(({ subject }) => image(pictures.references.get(subject), `photo of ${subject}`)).join('')
  const rows = methods.map((method) => {
    const cells = columns.map(({ prompt, pictures: drawn }) =>
      image(pictures.generated.get(drawn.get(method)?.file ?? ''), `${methodTitles[method]}: ${prompt}`),
    )
    return `<tr><th>${methodTitles[method]}</th>${cells.join('')}</tr>`
  })
  const title = `${gridTitles[kind]}, uncurated${sameDraw ? ', eight of one prompt' : ''}`
  const how = sameDraw ? 'All pictures of the first draw' : 'The first picture of every draw, in their order'
  return `<h2>${title}</h2><p class="note">${how}; nothing is selected.</p><div class="wide"><table class="grid"><tr><th></th>${head}</tr><tr><th>the photo</th>${photos}</tr>${rows.join('')}</table></div>`
}

function bySubject({ bySubject: found, subjects, settings, paper }: Report): string {
  const rows = subjects.flatMap(({ name, label }) =>
    settings.methods.map((method, index) => {
      const cells = metricNames.map((metric) => cell(found[name]?.[method]?.[metric]?.toFixed(3) ?? ''))
      const title = index === 0 ? `${escapeText(name)}${name === label ? '' : ` (${escapeText(label)})`}` : ''
      const row = paper?.bySubject[name]
      return `<tr><th>${title}</th>${cell(methodTitles[method])}${cells.join('')}</tr>${row ? paperRowHtml(method, row, cell('')) : ''}`
    }),
  )
  return table(['subject', 'method', ...metricNames.map((metric) => metrics[metric].title)], rows)
}

function meanings(report: Report): string {
  const entries = metricNames.map(
    (metric) => `<dt>${report.metrics[metric].title}</dt><dd>${escapeText(report.metrics[metric].meaning)}</dd>`,
  )
  const paper = report.paper
    ? '<p class="note">The paper’s numbers are those of its supplement, Table 1. It lists 29 subjects under names of its own; rows stand beside those whose name leaves no doubt.</p>'
    : ''
  return `<dl>${entries.join('')}</dl>${paper}`
}

function show(found: Estimate | null, signed = false): string {
  if (!found) return ''
  const sign = signed && found.mean > 0 ? '+' : ''
  const error = found.standardError === null ? '' : `<small> ± ${found.standardError.toFixed(3)}</small>`
  return `${sign}${found.mean.toFixed(3)}${error}`
}

function cell(content: string, name = ''): string {
  return name === '' ? `<td>${content}</td>` : `<td class="${name}">${content}</td>`
}

function table(head: readonly string[], rows: readonly string[]): string {
  return `<div class="wide"><table><tr>${head.map((title) => `<th>${title}</th>`).join('')}</tr>${rows.join('')}</table></div>`
}

const style = `
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #8884; white-space: nowrap; }
th:first-child { text-align: left; font-weight: 600; }
.paper, .note, small { opacity: .7; }
.wide { overflow-x: auto; }
.grid th { white-space: normal; max-width: 9rem; font-size: .8rem; font-weight: 400; vertical-align: bottom; text-align: left; }
.grid td { padding: 2px; border: 0; }
.grid img { display: block; width: 8.5rem; height: auto; }
.legend span { margin-right: 1rem; }
.legend i { display: inline-block; width: .8rem; height: .8rem; margin-right: .35rem; }
.charts { display: flex; flex-wrap: wrap; gap: 1.5rem; }
svg text { fill: currentColor; font-size: 11px; }
svg .value { font-size: 9px; }
.tick { stroke: #8884; }
.error { stroke: currentColor; fill: none; }
.holds { color: #009e73; }
.reversed, .warning { color: #d55e00; }
dt { font-weight: 600; }
`
