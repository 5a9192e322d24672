import sharp from 'sharp'

/** A picture of a disc on a gradient with its mask, as PNG files: something to run a bundle on where no photo is at hand. */
export async function rehearsalPhoto(): Promise<{ readonly photo: Uint8Array; readonly mask: Uint8Array }> {
  const side = 512
  const inside = (x: number, y: number) => (x - 270) ** 2 / 150 ** 2 + (y - 280) ** 2 / 190 ** 2 < 1
  const pixels = new Uint8Array(side * side * 3)
  const mask = new Uint8Array(side * side)
  for (let place = 0; place < mask.length; place++) {
    const [x, y] = [place % side, Math.floor(place / side)]
    mask[place] = inside(x, y) ? 255 : 0
    pixels.set(inside(x, y) ? [190 - x / 8, 120 + (y % 32) * 2, 60] : [x / 3, 180 - y / 4, 200 - x / 4], 3 * place)
  }
  const png = (data: Uint8Array, channels: 1 | 3) =>
    sharp(data, { raw: { width: side, height: side, channels } })
      .png()
      .toBuffer()
  return { photo: await png(pixels, 3), mask: await png(mask, 1) }
}
