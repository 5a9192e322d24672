import { halfBlocks } from './half-blocks.ts'
import { iterm2 } from './iterm2.ts'
import { kitty } from './kitty.ts'
import type { PreviewProtocol } from './protocol.ts'

const kittyPrograms = ['ghostty']
const iterm2Programs = ['iTerm.app', 'WezTerm', 'mintty']

/** Set by terminals that may have been started from kitty's shell, whose own variables they then inherit. */
const otherTerminals = ['TERM_PROGRAM', 'VTE_VERSION', 'KONSOLE_VERSION', 'WT_SESSION', 'ALACRITTY_WINDOW_ID']

/**
 * How pictures are shown in the terminal that `env` tells of, or null for not at all: only what a terminal is known to
 * read, since another one would show it as pages of letters. Nothing is asked of the terminal.
 */
export function detectProtocol(env: NodeJS.ProcessEnv, isTerminal: boolean): PreviewProtocol | null {
  const { TERM = '', TERM_PROGRAM = '' } = env
  if (!isTerminal || TERM === 'dumb' || env.NO_COLOR) return null
  // Multiplexers take pictures for text or drop them, and their variables hide which terminal is around them.
  const multiplexed = env.TMUX || env.STY || env.ZELLIJ || /^(screen|tmux)/.test(TERM)
  if (!multiplexed) {
    if (iterm2Programs.includes(TERM_PROGRAM) || (env.LC_TERMINAL === 'iTerm2' && !TERM_PROGRAM)) return iterm2
    if (kittyPrograms.includes(TERM_PROGRAM) || /^xterm-(kitty|ghostty)$/.test(TERM)) return kitty
    if (env.KITTY_WINDOW_ID && otherTerminals.every((name) => !env[name])) return kitty
  }
  return /truecolor|24bit/i.test(env.COLORTERM ?? '') ? halfBlocks : null
}
