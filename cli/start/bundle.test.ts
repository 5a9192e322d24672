import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createToyBundle } from '../../test/toy-bundle.ts'
import { chooseBundle } from './bundle.ts'

test('without a name the miniature is taken where it is whole, and else the toy, whose pictures are noise', async () => {
  using toy = createToyBundle('moma-toy')
  const { places, models } = toy
  expect(await chooseBundle({}, places)).toEqual({ name: 'moma-toy', note: expect.stringContaining('noise') })

  using other = createToyBundle('moma-toy')
  const mini = join(models, 'moma-mini')
  renameSync(other.folder, mini)
  const manifest = readFileSync(join(mini, 'manifest.json'), 'utf8')
  writeFileSync(join(mini, 'manifest.json'), manifest.replace('"moma-toy"', '"moma-mini"'))
  expect(await chooseBundle({}, places)).toEqual({ name: 'moma-mini', note: null })
  expect(await chooseBundle({ MOMA_BUNDLE: 'moma-toy' }, places)).toMatchObject({ name: 'moma-toy' })

  rmSync(join(mini, 'networks'), { recursive: true })
  expect(await chooseBundle({}, places)).toMatchObject({ name: 'moma-toy' })
  await expect(chooseBundle({ MOMA_BUNDLE: 'moma-mini' }, places)).rejects.toThrow(`They belong into ${mini}.`)
  await expect(chooseBundle({ MOMA_BUNDLE: 'large' }, places)).rejects.toThrow('The bundle is "large"; allowed: ')
})
