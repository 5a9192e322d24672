import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isRehearsal, markRehearsal, removeRehearsal } from './rehearsal-mark.ts'

test('a rehearsal is told from real weights, and taken away whole', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'moma-rehearsal-'))
  try {
    await mkdir(join(folder, 'unet'))
    await writeFile(join(folder, 'unet', 'model.safetensors'), '')
    for (const own of ['own', 'own.7']) await writeFile(join(folder, own), '')
    expect(await isRehearsal(folder)).toBe(false)
    await removeRehearsal(folder, 'own')
    expect((await readdir(folder)).sort()).toEqual(['own', 'own.7', 'unet'])
    await markRehearsal(folder)
    expect(await isRehearsal(folder)).toBe(true)
    await removeRehearsal(folder, 'own')
    expect((await readdir(folder)).sort()).toEqual(['own', 'own.7'])
  } finally {
    await rm(folder, { recursive: true })
  }
})
