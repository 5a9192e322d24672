import { previewPng } from './png.ts'
import { drawInRoom, type PreviewProtocol } from './protocol.ts'

/** One picture is on the screen at a time: another one under the same id takes its place. Any number would do. */
const imageId = 0x4d6f4d41

/** The protocol's bound on the data of one escape sequence. */
const chunkLength = 4096

/** kitty's graphics protocol (sw.kovidgoyal.net/kitty/graphics-protocol), which Ghostty reads too. */
export const kitty: PreviewProtocol = {
  // d=I frees the picture's data as well; q=2 asks for no answers, which nobody reads.
  erase: `\x1b_Ga=d,d=I,i=${imageId},q=2\x1b\\`,
  async draw(image, { columns, rows }) {
    const { base64 } = await previewPng(image)
    // a=T sends and shows, f=100 is PNG, c and r are the cells to fill, C=1 leaves the cursor.
    const settings = `a=T,f=100,i=${imageId},p=1,c=${columns},r=${rows},C=1,q=2`
    const count = Math.ceil(base64.length / chunkLength)
    const chunks = Array.from({ length: count }, (_, index) => {
      const more = index < count - 1 ? 1 : 0
      const data = base64.slice(index * chunkLength, (index + 1) * chunkLength)
      return `\x1b_G${index === 0 ? `${settings},` : 'q=2,'}m=${more};${data}\x1b\\`
    })
    return drawInRoom(chunks.join(''), rows)
  },
}
