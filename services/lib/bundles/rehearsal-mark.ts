import { access, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** The file that says that a bundle's weights are random numbers. */
const mark = 'REHEARSAL'

export async function markRehearsal(folder: string): Promise<void> {
  await writeFile(join(folder, mark), 'The weights in this folder are random numbers in the published layout.\n')
}

export async function isRehearsal(folder: string): Promise<boolean> {
  return access(join(folder, mark)).then(
    () => true,
    () => false,
  )
}

/**
 * Takes a rehearsal away before real weights come: none of its files may be taken for one of theirs. `kept` begins
 * the names of the caller's own files in the folder, which may come and go meanwhile; the mark goes last, so that a removal
 * that was interrupted is made good.
 */
export async function removeRehearsal(folder: string, kept: string): Promise<void> {
  if (!(await isRehearsal(folder))) return
  for (const entry of await readdir(folder)) {
    if (!entry.startsWith(kept) && entry !== mark) await rm(join(folder, entry), { recursive: true })
  }
  await rm(join(folder, mark))
}
