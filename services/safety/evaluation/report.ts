import { encodePreview } from '../../lib/images/preview.ts'
import { resizeBicubic } from '../../lib/images/resize.ts'
import type { Case, Row } from './evaluation.ts'

const percent = (share: number) => `${(share * 100).toFixed(1)} %`
const thumbnailPx = 192

const head = ['set', 'expected', 'count', 'right', 'rate', '95 % interval', 'median ms', 'slowest ms']

function cellsOf({ set, expected, count, right, rate, interval, medianMs, slowestMs }: Row): string[] {
  return [
    set,
    expected.join(', '),
    String(count),
    String(right),
    percent(rate),
    `${percent(interval.low)} – ${percent(interval.high)}`,
    medianMs.toFixed(1),
    slowestMs.toFixed(1),
  ]
}

/** Rows as a table of text, columns lined up. */
export function textTable(rows: readonly Row[]): string {
  const lines = [head, ...rows.map(cellsOf)]
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  return lines
    .map((line) =>
      line
        .map((cell, column) => (column < 2 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
        .join('  '),
    )
    .join('\n')
}

/** A page of its own, with the worst cases' pictures inside it: nothing is fetched when it is opened. */
export async function htmlPage(rows: readonly Row[], worst: readonly Case[], policyVersion: string): Promise<string> {
  const figures = await Promise.all(worst.map(figureOf))
  const row = (cells: readonly string[], tag: 'th' | 'td') =>
    `<tr>${cells.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join('')}</tr>`
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Safety evaluation</title>
<style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; }
table { border-collapse: collapse; } td, th { border: 1px solid #ccc; padding: .2rem .6rem; text-align: left; }
main { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0; width: ${thumbnailPx + 20}px; overflow-wrap: anywhere; }
figure.wrong { outline: 3px solid #b00020; padding: .4rem; } img { max-width: 100%; }
</style>
<h1>Safety evaluation</h1><p>Policy ${escaped(policyVersion)}</p>
<table>${row(head, 'th')}${rows.map((one) => row(cellsOf(one), 'td')).join('')}</table>
<h2>Wrong ones first, then those nearest to a threshold</h2><main>${figures.join('\n')}</main>
</html>
`
}

async function figureOf({ name, expected, verdict, error, right, picture }: Case): Promise<string> {
  const findings = (verdict?.findings ?? [])
    .slice(0, 4)
    .map(
      ({ detector, reason, score, threshold }) =>
        `${detector}: ${reason} (${score.toFixed(2)} of ${threshold.toFixed(2)})`,
    )
  const lines = [
    name,
    `expected ${expected}, got ${verdict?.decision ?? 'no verdict'}`,
    ...(error ? [error] : []),
    ...findings,
  ]
  const image = picture ? await imageOf(picture) : ''
  const caption = lines.map(escaped).join('<br>')
  return `<figure class="${right ? 'right' : 'wrong'}">${image}<figcaption>${caption}</figcaption></figure>`
}

async function imageOf(picture: NonNullable<Case['picture']>): Promise<string> {
  try {
    const small = await resizeBicubic(await picture(), thumbnailPx, thumbnailPx)
    const bytes = await encodePreview(small, 'webp')
    return `<img alt="" src="data:image/webp;base64,${Buffer.from(bytes).toString('base64')}">`
  } catch {
    return '<p>(can’t be shown)</p>'
  }
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.codePointAt(0)};`)
}
