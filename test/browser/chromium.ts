import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'

const executablePath = '/usr/bin/chromium'
export const hasChromium = existsSync(executablePath)
if (!hasChromium) console.warn(`the studio is not tested: there is no ${executablePath}`)

/** Of tests that need Chromium: left out where there is none. */
export const whenChromium = hasChromium ? describe : describe.skip

/** Without a window, and without anything of its own to load. */
export function launch(): Promise<Browser> {
  const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync']
  args.push('--disable-background-networking', '--disable-component-update')
  return chromium.launch({ executablePath, headless: true, args })
}
