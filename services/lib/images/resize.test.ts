import type { RgbImage } from './image.ts'
import { nearestIndices, resizeBicubic, resizeNearest, resizePlaneBicubic } from './resize.ts'
import { testImage } from './test-images.ts'

/** 9 × 7 px, as numpy makes it from the same formula. */
const small: RgbImage = {
  widthPx: 9,
  heightPx: 7,
  pixels: Uint8Array.from({ length: 9 * 7 * 3 }, (_, i) => {
    const channel = i % 3
    const x = Math.trunc(i / 3) % 9
    const y = Math.trunc(i / 27)
    return (7 * x * x + 31 * y + 97 * channel + x * y * 5) % 256
  }),
  alpha: null,
}

describe('bicubic', () => {
  test('a plane is resized as each channel of a picture is', async () => {
    const { pixels } = await resizeBicubic(small, 12, 5)
    for (const channel of [0, 1, 2]) {
      const only = (values: Uint8Array) => values.filter((_, index) => index % 3 === channel)
      const plane = await resizePlaneBicubic({ ...small, pixels: only(small.pixels) }, 12, 5)
      expect(plane.pixels).toEqual(only(pixels))
    }
  })

  // Recorded from Pillow 12.0.0, `Image.resize(size, BICUBIC)`: equal in every byte, no tolerance.
  const recorded: readonly (readonly [number, number, readonly number[]])[] = [
    [3, 2, [70, 165, 106, 134, 126, 117, 128, 136, 132, 156, 138, 112, 134, 123, 145, 136, 121, 131]],
    [
      12,
      5,
      [
        7, 104, 215, 11, 108, 225, 22, 119, 207, 42, 139, 142, 69, 169, 21, 103, 166, 34, 155, 100, 84, 206, 30, 138,
        198, 95, 220, 131, 192, 98, 108, 160, 73, 136, 41, 167, 47, 144, 96, 56, 152, 112, 72, 171, 79, 97, 201, 21,
        129, 242, 65, 183, 94, 107, 175, 31, 163, 109, 115, 204, 79, 189, 146, 166, 163, 136, 144, 141, 119, 30, 150,
        94, 92, 189, 17, 104, 212, 28, 126, 228, 57, 159, 199, 95, 217, 88, 132, 105, 84, 203, 38, 146, 166, 86, 189,
        57, 188, 66, 96, 107, 90, 168, 92, 162, 150, 167, 213, 69, 136, 245, 74, 152, 195, 91, 190, 107, 119, 217, 45,
        156, 166, 93, 211, 95, 164, 190, 103, 186, 135, 171, 148, 108, 159, 106, 212, 129, 107, 105, 124, 102, 98, 142,
        85, 206, 177, 94, 115, 211, 57, 136, 173, 57, 178, 74, 114, 195, 55, 169, 96, 111, 104, 64, 195, 53, 113, 231,
        80, 178, 85, 186, 109, 167, 84, 133, 170, 83, 135, 68, 194, 99,
      ],
    ],
    [
      5,
      9,
      [
        0, 97, 205, 31, 136, 149, 114, 156, 41, 206, 80, 138, 151, 103, 82, 22, 119, 237, 58, 163, 80, 157, 86, 78, 160,
        123, 186, 88, 156, 137, 50, 146, 132, 97, 203, 43, 175, 79, 133, 118, 156, 178, 99, 156, 120, 75, 174, 0, 134,
        217, 63, 140, 118, 163, 105, 144, 124, 142, 134, 84, 101, 209, 39, 166, 173, 104, 71, 106, 146, 120, 88, 105,
        97, 182, 154, 127, 233, 65, 205, 93, 137, 112, 153, 198, 174, 150, 111, 158, 130, 110, 160, 190, 91, 189, 71,
        176, 115, 168, 154, 146, 114, 157, 120, 84, 146, 188, 106, 122, 126, 98, 176, 129, 126, 101, 136, 95, 163, 104,
        95, 153, 201, 37, 151, 61, 134, 138, 171, 61, 99, 184, 144, 116, 159, 148, 90,
      ],
    ],
  ]

  test.each(recorded)('to %i × %i px equals Pillow', async (widthPx, heightPx, pixels) => {
    const resized = await resizeBicubic(small, widthPx, heightPx)
    expect([resized.widthPx, resized.heightPx]).toEqual([widthPx, heightPx])
    expect([...resized.pixels]).toEqual([...pixels])
  })

  test('the same size is the same picture', async () => {
    expect(await resizeBicubic(small, 9, 7)).toEqual(small)
  })

  test('lets the event loop turn while a large photo is resized', async () => {
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    await resizeBicubic(testImage(2000, 1500), 512, 512)
    clearInterval(timer)
    expect(turns).toBeGreaterThan(1)
  })

  test('sides and pixels that can not be', async () => {
    await expect(resizeBicubic(small, 0, 5)).rejects.toThrow('size: 0 × 5 px, sides are whole numbers from 1 to 16384')
    await expect(resizeBicubic(small, 5, 2.5)).rejects.toThrow('size: 5 × 2.5 px')
    await expect(resizeBicubic({ ...small, heightPx: 8 }, 5, 5)).rejects.toThrow(
      'pixels: 9 × 8 px in 3 channels are 216 values, got 189',
    )
  })
})

describe('nearest', () => {
  // Recorded from torch 2.11, `F.interpolate(torch.arange(from), size=out, mode='nearest')`.
  test('indices are those of torch', () => {
    expect([...nearestIndices(9, 4)]).toEqual([0, 2, 4, 6])
    expect([...nearestIndices(3, 8)]).toEqual([0, 0, 0, 1, 1, 1, 2, 2])
    expect([...nearestIndices(1, 3)]).toEqual([0, 0, 0])
    expect([...nearestIndices(7, 7)]).toEqual([0, 1, 2, 3, 4, 5, 6])
  })

  test('where float32 moves a position off the exact quotient, as in torch', () => {
    expect(nearestIndices(62, 14)[7]).toBe(30) // exactly 31
    expect(nearestIndices(1920, 224)[119]).toBe(1019) // exactly 1020
  })

  test('a plane keeps its levels', () => {
    const plane = { widthPx: 3, heightPx: 2, pixels: Uint8Array.of(1, 2, 3, 4, 5, 6) }
    expect(resizeNearest(plane, 2, 4)).toEqual({
      widthPx: 2,
      heightPx: 4,
      pixels: Uint8Array.of(1, 2, 1, 2, 4, 5, 4, 5),
    })
    expect(() => resizeNearest(plane, 2, 20_000)).toThrow('size: 2 × 20000 px')
  })
})
