import type { FileHandle } from 'node:fs/promises'

/** Writes all of `bytes` at a place of a file: what a system takes in one go may be less, as on a disk that is nearly full. */
export async function writeAt(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done)
    done += bytesWritten
  }
}
