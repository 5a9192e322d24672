// Photos to begin with: things of an icon set (Fluent Emoji, MIT) before a plain wall. The miniature has never seen them.
import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import sharp from 'sharp'

interface Example {
  readonly icon: string
  readonly label: string
  readonly wall: string
}

const examples: readonly Example[] = [
  { icon: 'owl', label: 'owl', wall: '#efe9df' },
  { icon: 'motor-scooter', label: 'scooter', wall: '#e3e7ec' },
  { icon: 'penguin', label: 'penguin', wall: '#ece4da' },
  { icon: 'rocket', label: 'rocket', wall: '#e6ebe4' },
  { icon: 'camel', label: 'camel', wall: '#e4e8ee' },
]
const side = 512

/** Draws them into `folder`, a JPEG each, named by their labels. */
export async function drawExamples(folder: string): Promise<void> {
  const { icons } = JSON.parse(
    readFileSync(createRequire(import.meta.url).resolve('@iconify-json/fluent-emoji/icons.json'), 'utf8'),
  ) as { readonly icons: Readonly<Record<string, { readonly body: string }>> }
  await mkdir(folder, { recursive: true })
  for (const { icon, label, wall } of examples) {
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${side}" height="${side}" viewBox="-8 -9 48 48">
      <radialGradient id="shadow"><stop stop-opacity=".35"/><stop offset="1" stop-opacity="0"/></radialGradient>
      <rect x="-8" y="-9" width="48" height="48" fill="${wall}"/>
      <ellipse cx="16" cy="31" rx="16" ry="2.4" fill="url(#shadow)"/>${icons[icon]!.body}</svg>`
    await sharp(Buffer.from(svg))
      .jpeg({ quality: 88 })
      .toFile(join(folder, `${label}.jpg`))
  }
}
