import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openClipTokenizer } from './clip.ts'

const data = join(import.meta.dirname, '../../../test/parity/data/tokenizers/')
const { clip: cases } = JSON.parse(await readFile(join(data, 'cases.json'), 'utf8'))

describe.each(['clip', 'clip-json'])('%s', (folder) => {
  test('gives the ids, counts and cut text of transformers CLIPTokenizer', async () => {
    const tokenizer = await openClipTokenizer(join(data, folder))
    expect(tokenizer).toMatchObject({ length: 77, bosId: 598, eosId: 599, padId: 599 })
    for (const { text, ...expected } of cases)
      expect({ text, ...tokenizer.encode(text) }).toEqual({ text, ...expected })
    expect(cases.filter((c: { truncated: string | null }) => c.truncated !== null).length).toBeGreaterThan(3)
  })
})

test('a text of exactly 75 tokens is whole, one more is cut', async () => {
  const tokenizer = await openClipTokenizer(join(data, 'clip'))
  const full = tokenizer.encode('dog '.repeat(75))
  expect(full).toMatchObject({ tokenCount: 75, truncated: null })
  expect(full.ids).toHaveLength(77)
  expect(full.ids[76]).toBe(599)
  expect(tokenizer.encode(`${'dog '.repeat(75)}Garden`)).toEqual({ ids: full.ids, tokenCount: 76, truncated: 'garden' })
})

test('says which tokens end a word', async () => {
  const tokenizer = await openClipTokenizer(join(data, 'clip'))
  expect(tokenizer.tokenIds('bulldog').map(tokenizer.endsWord)).toEqual([false, false, false, true])
  expect(tokenizer.endsWord(598)).toBe(false)
  expect(tokenizer.endsWord(10_000)).toBe(false)
})

test('a text beyond its bounds is refused', async () => {
  const tokenizer = await openClipTokenizer(join(data, 'clip'))
  expect(tokenizer.encode('a'.repeat(20_000)).tokenCount).toBeGreaterThan(75)
  expect(() => tokenizer.encode('a'.repeat(20_001))).toThrow('text has 20001 characters; at most 20000 are allowed')
  expect(() => tokenizer.encode('dog \ud83d')).toThrow('half of a surrogate pair')
})

describe('settings', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'clip-'))
    await cp(join(data, 'clip'), folder, { recursive: true })
  })
  afterEach(() => rm(folder, { recursive: true }))

  async function change(settings: Record<string, unknown>): Promise<void> {
    const path = join(folder, 'tokenizer_config.json')
    await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, 'utf8')), ...settings }))
  }

  test('the padding is the one that the checkpoint names (Stable Diffusion 2 pads with "!")', async () => {
    await change({ pad_token: '!' })
    const { ids } = (await openClipTokenizer(folder)).encode('')
    expect(ids).toEqual([598, 599, ...Array(75).fill(0)])
  })

  test.each([undefined, 2, 1e30, '77'])('model_max_length %p is refused', async (length) => {
    await change({ model_max_length: length })
    await expect(openClipTokenizer(folder)).rejects.toThrow(/tokenizer_config.json: model_max_length is .*3 to 1024/)
  })

  test('a control token that is not in the vocabulary is refused', async () => {
    await change({ eos_token: '<end>' })
    await expect(openClipTokenizer(folder)).rejects.toThrow(`${folder}/vocab.json lacks the eos_token "<end>"`)
  })

  test('a LLaMA tokenizer is refused', async () => {
    await expect(openClipTokenizer(join(data, 'llama'))).rejects.toThrow('end_of_word_suffix is ""')
  })
})
