// Photos to begin with: things of an icon set (Fluent Emoji, MIT) on plain grounds.
import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import sharp from 'sharp'

const things = { teapot: '#dfe6ee', backpack: '#efe3d3', sailboat: '#d9ead9' } as const
const side = 512

/** Draws them into `folder`, a JPEG each. */
export async function drawExamples(folder: string): Promise<void> {
  const { icons } = JSON.parse(
    readFileSync(createRequire(import.meta.url).resolve('@iconify-json/fluent-emoji/icons.json'), 'utf8'),
  ) as { readonly icons: Readonly<Record<string, { readonly body: string }>> }
  await mkdir(folder, { recursive: true })
  for (const [name, ground] of Object.entries(things)) {
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${side}" height="${side}" viewBox="-6 -6 44 44">
      <rect x="-6" y="-6" width="44" height="44" fill="${ground}"/>${icons[name]!.body}</svg>`
    await sharp(Buffer.from(svg))
      .jpeg({ quality: 88 })
      .toFile(join(folder, `${name}.jpg`))
  }
}
