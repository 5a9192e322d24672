import { previewPng } from './png.ts'
import { drawInRoom, type PreviewProtocol } from './protocol.ts'

/** iTerm2's inline images (iterm2.com/documentation-images.html), which WezTerm and mintty read too. */
export const iterm2: PreviewProtocol = {
  erase: '',
  async draw(image, { columns, rows }) {
    const { base64, byteLength } = await previewPng(image)
    const settings = `inline=1;size=${byteLength};width=${columns};height=${rows};preserveAspectRatio=1`
    return drawInRoom(`\x1b]1337;File=${settings}:${base64}\x07`, rows)
  },
}
