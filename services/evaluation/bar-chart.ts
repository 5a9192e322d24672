import type { Estimate } from './statistics.ts'

export interface BarSeries {
  readonly name: string
  readonly colour: string
  /** One a group; null where there is none. */
  readonly bars: readonly (Estimate | null)[]
}

const height = 190
const top = 14
const left = 40
const barWidth = 22
const groupGap = 26
const labelHeight = 24

/**
 * Groups of bars from zero with error bars of one standard error, as SVG. Groups are named below, values stand above
 * their bars; `series` are told apart by colour and, for whoever sees none, by the title of each bar.
 */
export function barChart(groups: readonly string[], series: readonly BarSeries[]): string {
  const highest = Math.max(...series.flatMap(({ bars }) => bars.map((bar) => (bar ? reach(bar) : 0))), 0)
  const scale = niceCeiling(highest)
  const groupWidth = series.length * barWidth + groupGap
  const width = left + groups.length * groupWidth
  const y = (value: number) => round(top + height * (1 - Math.min(Math.max(value / scale, 0), 1)))
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const value = share * scale
    return `<line class="tick" x1="${left}" x2="${width}" y1="${y(value)}" y2="${y(value)}"/><text class="axis" x="${left - 6}" y="${y(value) + 4}" text-anchor="end">${trim(value)}</text>`
  })
  const drawn = groups.map((group, index) => {
    const start = left + groupGap / 2 + index * groupWidth
    const bars = series.map(({ name, colour, bars }, place) => {
      const bar = bars[index]
      return bar ? drawBar(name, group, colour, bar, start + place * barWidth, y) : ''
    })
    const middle = round(start + (series.length * barWidth) / 2)
    return `${bars.join('')}<text class="group" x="${middle}" y="${top + height + 17}" text-anchor="middle">${escapeText(group)}</text>`
  })
  const size = `width="${width}" height="${top + height + labelHeight}"`
  return `<svg ${size} viewBox="0 0 ${width} ${top + height + labelHeight}" role="img" aria-label="${escapeText(groups.join(', '))}">${ticks.join('')}${drawn.join('')}</svg>`
}

function drawBar(
  name: string,
  group: string,
  colour: string,
  bar: Estimate,
  x: number,
  y: (value: number) => number,
): string {
  const { mean, standardError: error } = bar
  const middle = x + (barWidth - 2) / 2
  const whisker =
    error === null
      ? ''
      : `<path class="error" d="M${middle - 4} ${y(mean - error)}h8M${middle} ${y(mean - error)}V${y(mean + error)}M${middle - 4} ${y(mean + error)}h8"/>`
  const label = `${name}, ${group}: ${mean.toFixed(3)}${error === null ? '' : ` ± ${error.toFixed(3)}`}`
  const value = `<text class="value" x="${middle}" y="${round(y(mean + (error ?? 0)) - 3)}" text-anchor="middle">${mean.toFixed(2)}</text>`
  return `<g><title>${escapeText(label)}</title><rect x="${x}" y="${y(mean)}" width="${barWidth - 2}" height="${round(y(0) - y(mean))}" fill="${colour}"/>${whisker}${value}</g>`
}

function reach({ mean, standardError: error }: Estimate): number {
  return mean + (error ?? 0)
}

/** The least of 0.1, 0.2, 0.25, 0.5, 1, … that is not below. */
function niceCeiling(value: number): number {
  if (value <= 0) return 1
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= value * 0.999) ?? 10 * power
}

const round = (value: number) => Math.round(value * 10) / 10
const trim = (value: number) => String(Math.round(value * 1000) / 1000)

/** Text as HTML and SVG take it, in elements and in attributes. */
export function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
