import type { Method } from '../generation/request.ts'
import type { MetricName } from './metric-list.ts'

type PaperMetric = Extract<MetricName, 'dino' | 'clipI' | 'clipTContext' | 'clipTTexture'>
export type PaperRow = Partial<Record<Method, Partial<Record<PaperMetric, number>>>>

/** Table 1 of MoMA's supplement: DINO, CLIP-I, CLIP-T(c), CLIP-T(t) of MoMA, then CLIP-T(c), CLIP-T(t) of IP-Adapter. */
const rows: Readonly<Record<string, readonly [number, number, number, number, number, number]>> = {
  backpack: [0.59, 0.861, 0.35, 0.338, 0.342, 0.337],
  backpack2: [0.438, 0.698, 0.361, 0.351, 0.357, 0.365],
  boot: [0.502, 0.819, 0.346, 0.345, 0.33, 0.325],
  bowl: [0.621, 0.699, 0.35, 0.338, 0.3, 0.339],
  can: [0.657, 0.749, 0.361, 0.321, 0.355, 0.347],
  candle: [0.474, 0.734, 0.361, 0.353, 0.348, 0.33],
  cartoon: [0.574, 0.794, 0.305, 0.312, 0.284, 0.278],
  cat: [0.813, 0.84, 0.354, 0.339, 0.33, 0.3],
  cat2: [0.75, 0.845, 0.358, 0.345, 0.327, 0.31],
  clock: [0.679, 0.866, 0.335, 0.341, 0.305, 0.324],
  dog: [0.725, 0.863, 0.342, 0.334, 0.328, 0.308],
  dog2: [0.652, 0.863, 0.338, 0.335, 0.322, 0.301],
  dog3: [0.609, 0.799, 0.342, 0.345, 0.326, 0.304],
  dog5: [0.574, 0.761, 0.344, 0.34, 0.298, 0.279],
  dog6: [0.713, 0.857, 0.332, 0.324, 0.32, 0.3],
  dog7: [0.709, 0.85, 0.338, 0.338, 0.325, 0.287],
  dog8: [0.654, 0.842, 0.337, 0.333, 0.316, 0.289],
  plushie: [0.62, 0.781, 0.367, 0.334, 0.341, 0.315],
  plushie2: [0.491, 0.754, 0.372, 0.333, 0.34, 0.336],
  plushie3: [0.621, 0.794, 0.366, 0.323, 0.343, 0.317],
  poop: [0.533, 0.732, 0.345, 0.339, 0.335, 0.338],
  sneaker: [0.665, 0.814, 0.35, 0.347, 0.333, 0.312],
  sneaker2: [0.704, 0.824, 0.34, 0.346, 0.325, 0.305],
  sunglasses: [0.655, 0.851, 0.349, 0.344, 0.339, 0.348],
  teapot: [0.642, 0.852, 0.383, 0.361, 0.366, 0.359],
  toy1: [0.508, 0.765, 0.341, 0.306, 0.332, 0.292],
  toy2: [0.627, 0.821, 0.334, 0.31, 0.32, 0.328],
  toy3: [0.532, 0.741, 0.348, 0.313, 0.337, 0.311],
  vase: [0.593, 0.815, 0.358, 0.339, 0.338, 0.356],
}

/** The table's last row. */
export const paperAverage = rowOf([0.618, 0.803, 0.348, 0.335, 0.33, 0.319])

/**
 * DreamBooth's 30 folders, and the paper's name for those whose name leaves no doubt. Which of its plushies, sneakers
 * and toys are which, the paper does not say; it lists 29 subjects.
 */
const dreamBoothFolders: Readonly<Record<string, string | null>> = {
  backpack: 'backpack',
  backpack_dog: 'backpack2',
  bear_plushie: null,
  berry_bowl: 'bowl',
  can: 'can',
  candle: 'candle',
  cat: 'cat',
  cat2: 'cat2',
  clock: 'clock',
  colorful_sneaker: null,
  dog: 'dog',
  dog2: 'dog2',
  dog3: 'dog3',
  dog5: 'dog5',
  dog6: 'dog6',
  dog7: 'dog7',
  dog8: 'dog8',
  duck_toy: null,
  fancy_boot: 'boot',
  grey_sloth_plushie: null,
  monster_toy: null,
  pink_sunglasses: 'sunglasses',
  poop_emoji: 'poop',
  rc_car: null,
  red_cartoon: 'cartoon',
  robot_toy: null,
  shiny_sneaker: null,
  teapot: 'teapot',
  vase: 'vase',
  wolf_plushie: null,
}

/** Whether these folders are the paper's subjects, all of them and no others: by DreamBooth's names or by the table's. */
export function isPaperSet(folders: readonly string[]): boolean {
  const found = [...folders].sort().join()
  return [rows, dreamBoothFolders].some((names) => Object.keys(names).sort().join() === found)
}

/** The table's row of a folder; null where it has none, or nobody knows which. */
export function paperRow(folder: string): PaperRow | null {
  const row = rows[dreamBoothFolders[folder] ?? folder]
  return row ? rowOf(row) : null
}

function rowOf([dino, clipI, clipTContext, clipTTexture, adapterContext, adapterTexture]: readonly [
  number,
  number,
  number,
  number,
  number,
  number,
]): PaperRow {
  return {
    moma: { dino, clipI, clipTContext, clipTTexture },
    'ip-adapter': { clipTContext: adapterContext, clipTTexture: adapterTexture },
  }
}
