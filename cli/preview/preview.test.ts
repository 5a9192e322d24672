import { decodeImage } from '../../services/lib/images/decode.ts'
import type { RgbImage } from '../../services/lib/images/image.ts'
import { createProgress } from '../progress.ts'
import { detectProtocol } from './detect.ts'
import { halfBlocks } from './half-blocks.ts'
import { iterm2 } from './iterm2.ts'
import { kitty } from './kitty.ts'
import { cellsOf } from './protocol.ts'

/** Colours that differ from pixel to pixel, so that a swapped one shows and the PNG is large enough to be sent in pieces. */
function picture(widthPx: number, heightPx: number): RgbImage {
  let state = 1
  const pixels = Uint8Array.from({ length: widthPx * heightPx * 3 }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state >>> 24
  })
  return { widthPx, heightPx, pixels, alpha: null }
}

const esc = '\x1b'

const readable = (text: string) => text.replaceAll(esc, '<ESC>').replaceAll('\x07', '<BEL>')

describe('the protocol is what the terminal is known to read', () => {
  test.each([
    ['kitty', { TERM: 'xterm-kitty', KITTY_WINDOW_ID: '1' }, kitty],
    ['kitty over ssh', { TERM: 'xterm-kitty' }, kitty],
    ['kitty under another TERM', { TERM: 'xterm-256color', KITTY_WINDOW_ID: '1' }, kitty],
    ['Ghostty', { TERM: 'xterm-ghostty', TERM_PROGRAM: 'ghostty' }, kitty],
    [
      'an editor started from kitty',
      { TERM_PROGRAM: 'vscode', KITTY_WINDOW_ID: '1', COLORTERM: 'truecolor' },
      halfBlocks,
    ],
    ['a GNOME terminal started from kitty', { VTE_VERSION: '7600', KITTY_WINDOW_ID: '1' }, null],
    ['iTerm2', { TERM_PROGRAM: 'iTerm.app', COLORTERM: 'truecolor' }, iterm2],
    ['iTerm2 over ssh', { TERM: 'xterm-256color', LC_TERMINAL: 'iTerm2' }, iterm2],
    ['WezTerm', { TERM_PROGRAM: 'WezTerm' }, iterm2],
    [
      'tmux in kitty',
      { TERM: 'tmux-256color', TMUX: '/tmp/t,1,0', KITTY_WINDOW_ID: '1', COLORTERM: 'truecolor' },
      halfBlocks,
    ],
    ['tmux in iTerm2, TERM renamed', { TERM: 'xterm-256color', TMUX: '/tmp/t,1,0', LC_TERMINAL: 'iTerm2' }, null],
    ['screen in kitty', { TERM: 'screen.xterm-256color', STY: '1.a', KITTY_WINDOW_ID: '1' }, null],
    ['24-bit colour', { TERM: 'xterm-256color', COLORTERM: '24bit' }, halfBlocks],
    ['nothing known', { TERM: 'xterm' }, null],
    ['a dumb terminal', { TERM: 'dumb', COLORTERM: 'truecolor', KITTY_WINDOW_ID: '1' }, null],
    ['NO_COLOR', { TERM: 'xterm-kitty', NO_COLOR: '1' }, null],
  ])('%s', (_, env, expected) => {
    expect(detectProtocol(env, true)).toBe(expected)
    expect(detectProtocol(env, false)).toBeNull()
  })
})

test('a picture takes the cells that keep its shape and leave the line its place', () => {
  expect(cellsOf(picture(64, 64), { columns: 80, rows: 40 })).toEqual({ columns: 32, rows: 16 })
  expect(cellsOf(picture(64, 64), { columns: 80, rows: 12 })).toEqual({ columns: 20, rows: 10 })
  expect(cellsOf(picture(64, 32), { columns: 20, rows: 40 })).toEqual({ columns: 18, rows: 5 })
  expect(cellsOf(picture(64, 64), { columns: 80, rows: 5 })).toBeNull()
})

test('half blocks hold two pixels a character, line by line', async () => {
  const pixels = Uint8Array.from([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7])
  const drawn = await halfBlocks.draw({ widthPx: 2, heightPx: 2, pixels, alpha: null }, { columns: 2, rows: 1 })
  expect(drawn).toEqual({
    rows: 1,
    bytes: `${esc}[38;2;255;0;0;48;2;0;0;255m▀${esc}[38;2;0;255;0;48;2;9;8;7m▀${esc}[0m\n`,
  })
})

/** What is drawn between saving and restoring the cursor, in the room made before. */
function inRoom(bytes: string, rows: number): string {
  const [before, after] = [`${'\n'.repeat(rows)}${esc}[${rows}A${esc}7`, `${esc}8${esc}[${rows}E`]
  expect(bytes.startsWith(before)).toBe(true)
  expect(bytes.endsWith(after)).toBe(true)
  return bytes.slice(before.length, -after.length)
}

test('kitty gets a PNG in pieces of at most 4096 characters, the last one marked', async () => {
  const image = picture(96, 96)
  const { bytes, rows } = await kitty.draw(image, { columns: 32, rows: 16 })
  const commands = readable(inRoom(bytes, rows)).split('<ESC>\\').slice(0, -1)
  expect(commands.length).toBeGreaterThan(1)
  const parts = commands.map((command) => /^<ESC>_G([^;]*);([A-Za-z0-9+/=]{1,4096})$/.exec(command)!)
  expect(parts[0]![1]).toMatch(/^a=T,f=100,i=\d+,p=1,c=32,r=16,C=1,q=2,m=1$/)
  expect(parts.slice(1).map(([, keys]) => keys)).toEqual([...Array(parts.length - 2).fill('q=2,m=1'), 'q=2,m=0'])
  const png = Buffer.from(parts.map(([, , data]) => data).join(''), 'base64')
  expect((await decodeImage(png)).pixels).toEqual(image.pixels)
  expect(kitty.erase).toBe(`${esc}_Ga=d,d=I,i=${/i=(\d+)/.exec(bytes)![1]},q=2${esc}\\`)
})

test('iTerm2 gets a PNG with its length and its cells; a decoded picture is shrunk first', async () => {
  const { bytes, rows } = await iterm2.draw(picture(640, 320), { columns: 32, rows: 8 })
  const header = /^<ESC>\]1337;File=inline=1;size=(\d+);width=32;height=8;preserveAspectRatio=1:(.*)<BEL>$/
  const [, length, data] = header.exec(readable(inRoom(bytes, rows)))!
  const png = Buffer.from(data!, 'base64')
  expect(png.length).toBe(Number(length))
  expect(await decodeImage(png)).toMatchObject({ widthPx: 320, heightPx: 160 })
})

/** A terminal that keeps what was written. */
function terminal() {
  const writes: string[] = []
  const stream = { isTTY: true, columns: 80, rows: 40, write: (text: string) => writes.push(text) }
  return { writes, stream: stream as unknown as NodeJS.WriteStream }
}

describe('on the terminal', () => {
  const env = { TERM: 'xterm-kitty' }

  test('the picture is drawn in place, stays while only the line changes, and is gone at the end', async () => {
    const { writes, stream } = terminal()
    const progress = createProgress(stream, { quiet: false, previews: true }, env)
    progress.update('denoise …', null)
    await progress.preview(picture(16, 16))
    progress.update('step 1 of 4', 0.25)
    progress.update('step 2 of 4', 0.5)
    await progress.preview(picture(16, 16))
    progress.update('step 3 of 4', 0.75)
    progress.done()
    progress.done()
    const { bytes } = await kitty.draw(picture(16, 16), { columns: 32, rows: 16 })
    const line = expect.stringMatching(/^[█░]{28}.*step/)
    const withoutLine = writes.map((text) => text.replace(/[█░]{28}.*\n$/, ''))
    expect(withoutLine).toEqual([
      '',
      `${esc}[1F${esc}[0J${bytes}`,
      `${esc}[1F${esc}[0J`,
      `${esc}[17F${esc}[0J${bytes}`,
      `${esc}[17F${esc}[0J${kitty.erase}`,
    ])
    expect(writes[2]!.replace(`${esc}[1F${esc}[0J`, '')).toEqual(line)
  })

  test('a note stays above what is drawn next', async () => {
    const { writes, stream } = terminal()
    const progress = createProgress(stream, { quiet: false, previews: true }, env)
    await progress.preview(picture(16, 16))
    progress.update('step 1 of 4', 0.25)
    progress.note('by the way')
    expect(writes.slice(1)).toEqual([`${esc}[17F${esc}[0J${kitty.erase}`, 'by the way\n'])
  })

  test('without previews there is a line alone', async () => {
    const { writes, stream } = terminal()
    const progress = createProgress(stream, { quiet: false, previews: false }, env)
    expect(progress.showsPreviews).toBe(false)
    await progress.preview(picture(16, 16))
    progress.update('step 1 of 4', 0.25)
    expect(writes.join('')).not.toContain(`${esc}_G`)
  })
})
