import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Puts a section into docs/performance.md, in the place of the one with its heading where there is one. */
export function writeSection(text: string): void {
  const path = fileURLToPath(new URL('../../docs/performance.md', import.meta.url))
  const sections = readFileSync(path, 'utf8').split(/^(?=## )/m)
  const [heading] = text.split('\n')
  const place = sections.findIndex((one) => one.startsWith(`${heading}\n`))
  const whole = place < 0 ? [...sections, text] : sections.with(place, text)
  writeFileSync(path, `${whole.map((one) => one.trimEnd()).join('\n\n')}\n`)
}
