import { type IntTensor, intTensor } from '../lib/runtime/tensor.ts'

/**
 * The subject's tokens at every level of the UNet: the mask, h × w numbers in row order at the size of the latents
 * (subject where above 0), shrunk by nearest neighbour, gives the places of the tokens that are subject. A subject
 * too small to leave a token at some level keeps the one nearest to its middle there.
 * Throws a RangeError when no number is above 0.
 */
export function foregroundTokens(
  mask: ArrayLike<number>,
  heightPx: number,
  widthPx: number,
  levels: number,
): IntTensor[] {
  const subject: { row: number; column: number }[] = []
  for (let place = 0; place < mask.length; place++) {
    if (mask[place]! > 0) subject.push({ row: Math.floor(place / widthPx), column: place % widthPx })
  }
  if (subject.length === 0) throw new RangeError('mask: no pixel is subject, at least one must be')
  return Array.from({ length: levels }, (_, level) => {
    const side = 2 ** level
    const width = Math.floor(widthPx / side)
    const places = subject
      .filter(({ row, column }) => row % side === 0 && column % side === 0)
      .map(({ row, column }) => (row / side) * width + column / side)
    if (places.length === 0) {
      const middle = (axis: 'row' | 'column', size: number) => {
        const mean = subject.reduce((sum, pixel) => sum + pixel[axis], 0) / subject.length
        return Math.min(Math.round(mean / side), Math.floor(size / side) - 1)
      }
      places.push(middle('row', heightPx) * width + middle('column', widthPx))
    }
    return intTensor([places.length], places)
  })
}
