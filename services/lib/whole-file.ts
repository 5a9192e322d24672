import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Writes a file, and the folders it lies in, so that a reader sees the old content or the new one, never a part. */
export async function writeWhole(file: string, content: string | Uint8Array): Promise<void> {
  const beside = `${file}.${process.pid}.part`
  await mkdir(dirname(file), { recursive: true })
  try {
    await using handle = await open(beside, 'w')
    await handle.writeFile(content)
    await handle.sync()
  } catch (error) {
    await rm(beside, { force: true })
    throw error
  }
  await rename(beside, file)
}
