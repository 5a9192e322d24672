import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { manifestOf } from '../../../test/hub/bundle.ts'
import { parseManifest, readManifest, sourcesDigest } from './manifest.ts'
import { preparedDecoder } from './prepare.ts'

/** A copy of the sound manifest with one field, given by its path, set to a value; `undefined` removes it. */
function manifestWith(path: string, value: unknown): unknown {
  const copy: unknown = JSON.parse(JSON.stringify(manifestOf({ sources: [source] })))
  const keys = path.split('.')
  let at = copy
  for (const key of keys.slice(0, -1)) at = Reflect.get(Object(at), key)
  Reflect.set(Object(at), keys.at(-1) ?? '', value)
  return JSON.parse(JSON.stringify(copy))
}

const source = { repository: 'lab/net', revision: 'main', licence: 'free', files: [{ from: 'a.bin', to: 'a.bin' }] }
const parse = (path: string, value: unknown) => () => parseManifest(manifestWith(path, value), 'tiny/manifest.json')

test('a sound manifest keeps its values, and optional fields stay absent', () => {
  const manifest = parseManifest(manifestOf(), 'tiny/manifest.json')
  expect(manifest).toEqual(manifestOf())
  expect('sources' in manifest).toBe(false)
  expect('vitH' in manifest.networks).toBe(false)
})

test.each([
  ['formatVersion', 2, 'formatVersion is 2; allowed: 1.'],
  ['name', 'My Bundle', 'name is "My Bundle"; allowed: lower-case letters'],
  ['title', undefined, 'title is missing; allowed: a text of 1 to 120 characters.'],
  ['settings.sizePx', 500, 'settings.sizePx is 500; allowed: a whole number from 64 to 2048 that is a multiple of 64.'],
  ['settings.strength.retexture', 1.3, 'settings.strength.retexture is 1.3; allowed: a number from 0 to 1.2.'],
  ['settings.strength', 1, 'settings.strength is 1; allowed: an object with the fields recontextualize, retexture.'],
  ['settings.subjectTokens', 'some', 'settings.subjectTokens is "some"; allowed: "firstOfWord", "allOfWord".'],
  ['settings.latentToRgb.factors.0', [1, 2], 'settings.latentToRgb.factors[0] is [1,2]; allowed: a list of 3 items.'],
  ['settings.guidence', 7.5, 'settings.guidence is 7.5; allowed: no such field here, only sizePx,'],
  ['networks.unet.compute', 'int9', 'networks.unet.compute is "int9"; allowed: "float32", "float16", "bfloat16".'],
  ['networks.unet.config', [], 'networks.unet.config is []; allowed: an object.'],
  ['networks.unet.files', [], 'networks.unet.files is []; allowed: a list of 1 to 8 items.'],
  [
    'networks.unet.files.0',
    '../unet.safetensors',
    'networks.unet.files[0] is "../unet.safetensors"; allowed: a relative path',
  ],
  [
    'networks.unet.files.0',
    '*/unet.safetensors',
    'networks.unet.files[0] is "*/unet.safetensors"; allowed: a relative path',
  ],
  ['networks.mapping.kind', undefined, 'networks.mapping.kind is missing; allowed: "linear", "gated".'],
  ['networks.vae', undefined, 'networks.vae is missing; allowed: an object'],
  ['metrics', { dino: 1 }, 'metrics.dino is 1; allowed: an object'],
  ['metrics', { resizePx: 8 }, 'metrics.resizePx is 8; allowed: no such field here, only dino, clipVision, clipText'],
  ['prompts', '../prompts.json', 'prompts is "../prompts.json"; allowed: a relative path'],
  ['tokenizers.clip.folder', '/etc', 'tokenizers.clip.folder is "/etc"; allowed: a relative path'],
  [
    'licences.free',
    { name: 'Mine' },
    'licences.free is {"name":"Mine"}; allowed: an spdx identifier, or a name together with a url.',
  ],
  ['sources.0.licence', 'paid', 'sources[0].licence is "paid"; allowed: a key of licences (free).'],
  ['sources.0.repository', 'lab', 'sources[0].repository is "lab"; allowed: a repository as owner/name.'],
  ['sources.0.revision', '../x', 'sources[0].revision is "../x"; allowed: a commit, tag or branch.'],
  ['sources.0.files.0.to', '../a', 'sources[0].files[0].to is "../a"; allowed: a relative path'],
  [
    'sources.0.files.0.sha256',
    'ABC',
    'sources[0].files[0].sha256 is "ABC"; allowed: 64 lower-case hexadecimal digits.',
  ],
  [
    'sources.0.files.1',
    { from: 'b', to: 'a.bin' },
    'sources[0].files[1].to is "a.bin"; allowed: a path that no other file has.',
  ],
])('%s = %j is refused by name, value and what is allowed', (path, value, message) => {
  expect(parse(path, value)).toThrow(`tiny/manifest.json: ${message}`)
})

test('a long value is not spread over the screen', () => {
  expect(parse('title', 'x'.repeat(5000))).toThrow(/^tiny\/manifest\.json: title is "x{79}…; allowed/)
})

test('a manifest that is missing, too long or no JSON is named', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'moma-manifest-'))
  try {
    const file = join(folder, 'manifest.json')
    await expect(readManifest(file)).rejects.toThrow(`${file} does not exist.`)
    await writeFile(file, '{"name": ')
    await expect(readManifest(file)).rejects.toThrow(`${file} is not JSON: `)
    await writeFile(file, ' '.repeat(1_048_577))
    await expect(readManifest(file)).rejects.toThrow(`${file} has 1048577 bytes; allowed: at most 1048576.`)
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('the digest of the sources changes with them and with nothing else', () => {
  const digest = (fields: Record<string, unknown>) => sourcesDigest(parseManifest(manifestOf(fields), 'm').sources)
  expect(digest({ sources: [source], title: 'Other' })).toBe(digest({ sources: [source] }))
  expect(digest({ sources: [{ ...source, revision: 'next' }] })).not.toBe(digest({ sources: [source] }))
})

test('every manifest of the project is sound, and its networks read only files that its sources or a preparation bring', async () => {
  const models = join(import.meta.dirname, '../../../models')
  const names = await readdir(models)
  expect(names).toContain('moma-sd15')
  for (const name of names) {
    const manifest = await readManifest(join(models, name, 'manifest.json'))
    if (manifest.sources === undefined) continue
    const brought = manifest.sources.flatMap(({ files }) =>
      files.flatMap((file) =>
        'anyOf' in file ? file.anyOf.flat().map((from) => `${file.to}/${from.split('/').at(-1)}`) : [file.to],
      ),
    )
    const { tokenizer: _, ...metrics } = manifest.metrics ?? {}
    for (const network of [...Object.values(manifest.networks), ...Object.values(metrics)]) {
      for (const pattern of network?.files ?? []) expect([...brought, preparedDecoder]).toContain(pattern)
    }
  }
})
