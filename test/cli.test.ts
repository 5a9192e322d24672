import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { crc32 } from 'node:zlib'
import sharp from 'sharp'
import { runProgram } from '../cli/program.ts'
import { readMetadata } from '../services/lib/images/encode.ts'
import { testCertificate } from '../services/lib/images/test-certificates.ts'
import { rehearsalPhoto } from '../services/lib/rehearsal/photo.ts'
import { createToyBundle } from './toy-bundle.ts'

// The command line as a person runs it, on the toy bundle.

const program = fileURLToPath(new URL('../bin/moma.js', import.meta.url))
const toy = createToyBundle()
const folder = mkdtempSync(join(tmpdir(), 'moma-cli-'))
const photo = join(folder, 'photo.png')
const mask = join(folder, 'mask.png')

beforeAll(async () => {
  const files = await rehearsalPhoto()
  writeFileSync(photo, files.photo)
  writeFileSync(mask, files.mask)
})

afterAll(() => {
  toy[Symbol.dispose]()
  rmSync(folder, { recursive: true })
})

const environment = { ...process.env, MOMA_MODELS: toy.models, MOMA_BUNDLE: toy.name }

function moma(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    encoding: 'utf8',
    env: environment,
  })
  return { status, stdout, stderr }
}

const out = join(folder, 'out')
const generate = (...args: string[]) => draw('--mask', mask, ...args)
const draw = (...args: string[]) =>
  moma('generate', '--image', photo, '--label', 'toy', '--prompt', 'a toy on a beach', '--out', out, ...args)

test('ends in silence when nobody reads its output any more, as in `| head`', () => {
  const command = `"${process.execPath}" "${program}" generate --help | true; echo "\${PIPESTATUS[0]}"`
  const { stdout, stderr } = spawnSync('bash', ['-c', command], { encoding: 'utf8', env: environment })
  expect(stdout.trim()).toMatch(/^(141|0)$/)
  expect(stderr).toBe('')
})

describe('what the safety policy does not allow', () => {
  const refusing = (label: string, prompt: string) =>
    moma(
      'generate',
      '--image',
      photo,
      '--mask',
      mask,
      '--label',
      label,
      '--prompt',
      prompt,
      '--out',
      join(folder, 'refused'),
    )

  test.each([
    ['man', 'a man on a beach', '"man" in the label names a person'],
    ['toy', 'a toy next to a nurse', '"nurse" in the prompt names a person'],
  ])('is refused before anything is drawn: label %j, prompt %j', (label, prompt, reason) => {
    const { status, stdout, stderr } = refusing(label, prompt)
    expect({ status, stdout }).toEqual({ status: 4, stdout: '' })
    expect(stderr).toContain(`moma: the request was rejected: ${reason}`)
    expect(existsSync(join(folder, 'refused'))).toBe(false)
  })

  test('is not written where it has been drawn', () => {
    const policy = JSON.parse(readFileSync(new URL('../services/safety/policy/policy.json', import.meta.url), 'utf8'))
    policy.picture.personDetector = { score: 0.0001, area: 0, centralArea: 0 }
    const policyFile = join(folder, 'policy.json')
    writeFileSync(policyFile, JSON.stringify(policy))
    const request = [
      '--image',
      photo,
      '--mask',
      mask,
      '--label',
      'ball',
      '--prompt',
      'a ball on the beach',
      '--steps',
      '2',
    ]
    const to = join(folder, 'judged')
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [program, 'generate', ...request, '--out', to, '--bundle', 'moma-mini'],
      { encoding: 'utf8', env: { ...process.env, MOMA_SAFETY_POLICY: policyFile } },
    )
    expect({ status, stdout }).toEqual({ status: 4, stdout: '' })
    expect(stderr).toContain('a finished picture was rejected: a person is the central thing of the picture')
    expect(existsSync(to)).toBe(false)
  }, 30_000)
})

test('generate writes pictures with their settings inside and prints their paths last', async () => {
  const { status, stdout } = generate('--count', '2', '--seed', '5', '--steps', '2')
  expect(status).toBe(0)
  const paths = stdout.trim().split('\n')
  expect(paths.map((path) => path.slice(out.length + 1))).toEqual([
    'toy-a-toy-on-a-beach-5.png',
    'toy-a-toy-on-a-beach-6.png',
  ])
  const metadata = JSON.stringify(await readMetadata(readFileSync(paths[1]!)), (_, value) =>
    typeof value === 'bigint' ? String(value) : value,
  )
  expect(metadata).toContain('trainedAlgorithmicMedia')
  expect(metadata).toContain('a toy on a beach')
  expect(readdirSync(out).filter((name) => name.endsWith('.part'))).toEqual([])
}, 30_000)

/** The same in this process, for requests that are refused: its exit code and what it says on stderr. */
async function refused(...changes: string[]) {
  const given: Record<string, string> = { image: photo, mask, label: 'toy', prompt: 'a toy', steps: '1', out: unmade }
  for (let place = 0; place < changes.length; place += 2) given[changes[place]!.slice(2)] = changes[place + 1]!
  const args = Object.entries(given).flatMap(([name, value]) => [`--${name}`, value])
  let said = ''
  const code = await runProgram(['generate', '--quiet', ...args], (text) => {
    said += text
  })
  return { code, said }
}

const unmade = join(folder, 'never-made')
const written = (name: string, bytes: Uint8Array | string) => {
  writeFileSync(join(folder, name), bytes)
  return join(folder, name)
}
const flat = (level: number) =>
  sharp({ create: { width: 64, height: 64, channels: 3, background: { r: level, g: level, b: level } } })
    .png()
    .toBuffer()
const black = written('black.png', await flat(0))
const white = written('white.png', await flat(255))
const text = written('text.txt', 'hello')
const whole = await sharp(randomBytes(3 * 64 * 64), { raw: { width: 64, height: 64, channels: 3 } })
  .png()
  .toBuffer()
const cut = written('cut.png', whole.subarray(0, 3000))
/** A header that promises 30 GB of pixels. */
const bomb = Buffer.from(whole)
bomb.writeUInt32BE(100_000, 16)
bomb.writeUInt32BE(100_000, 20)
bomb.writeUInt32BE(crc32(bomb.subarray(12, 29)), 29)
const empty = written('empty.png', '')
const large = written('large.png', '')
truncateSync(large, 2 ** 40)

describe('what is refused: one sentence with value and allowed values, an exit code, nothing written', () => {
  // The worker's later test files read the same environment.
  const before = { MOMA_MODELS: process.env.MOMA_MODELS, MOMA_BUNDLE: process.env.MOMA_BUNDLE }
  beforeAll(() => {
    process.env.MOMA_MODELS = toy.models
    process.env.MOMA_BUNDLE = toy.name
  })
  afterAll(() => {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  })
  afterEach(() => expect(existsSync(unmade)).toBe(false))

  test.each([
    ['a photo that is not there', '--image', '/nowhere.png', "--image /nowhere.png can't be read: ENOENT"],
    ['a folder as the photo', '--image', folder, `--image ${folder} can't be read: EISDIR`],
    ['a file of a terabyte', '--image', large, `--image ${large} is too large, allowed are 20971520 bytes`],
    ['an empty file', '--image', empty, 'image: the file is empty'],
    ['no picture', '--image', text, 'image: the file is text, allowed are jpeg, png, webp'],
    ['a photo cut short', '--image', cut, 'image: the png file is damaged or cut short'],
    [
      'ten billion pixels',
      '--image',
      written('bomb.png', bomb),
      'image: 100000 × 100000 px, sides of 16 to 16384 px are allowed',
    ],
    ['a mask that is not there', '--mask', '', "--mask  can't be read: ENOENT"],
    ['a mask of text', '--mask', text, 'mask: the file is text, allowed are'],
    ['an empty mask', '--mask', black, 'mask: no pixel is subject (0 % are white)'],
    ['a full mask', '--mask', white, 'mask: every pixel is subject (100 % are white)'],
    ['no label', '--label', ' ', `label " " is empty; the subject's noun is needed`],
    ['a label of signs', '--label', '!!', 'label "!!" has no letter or digit'],
    ['a label beyond the text', '--label', `toy ${'z'.repeat(80)}`, 'is not among the first 77 tokens'],
    ['a long label', '--label', 'x'.repeat(10_000), 'label has 10000 characters; at most 100 are allowed'],
    ['no prompt', '--prompt', '', 'prompt is "", allowed is a sentence'],
    ['a long prompt', '--prompt', 'y'.repeat(10_001), 'prompt has 10001 characters; at most 10000 are allowed'],
    ['a long negative prompt', '--negative', 'y'.repeat(10_001), 'negativePrompt has 10001 characters'],
    ['a file as the folder', '--out', text, `--out ${text} can't be written: ${text} is no folder`],
    ['a folder in a file', '--out', `${text}/a/b`, `can't be written: ${text} is no folder`],
    ['a folder where none can be made', '--out', '/proc/none', "--out /proc/none can't be written: E"],
    ['no folder', '--out', '', '--out is "", allowed is the path of a folder'],
    ['a number of steps that a sampler lacks', '--sampler', 'unipc', 'steps is 999, allowed is', '--steps', '999'],
  ])('%s', async (_, option, value, sentence, ...more) => {
    const { code, said } = await refused(option, value, ...more)
    expect(said).toContain(sentence)
    expect(said).toMatch(/^moma: [^\n]*\n$/)
    expect(code).toBe(2)
  })

  const numbers = {
    '--strength': ['a number from 0 to 1.2', '-1', '1.3'],
    '--guidance': ['a number from 1 to 30', '0.5', '31'],
    '--steps': ['a whole number from 1 to 999', '0', '1000'],
    '--seed': ['a whole number from 0 to 9007199254740927', '-1', '18446744073709551616'],
    '--count': ['a whole number from 1 to 8', '0', '9', '1.5'],
    '--size': ['a multiple of 64 from 64 to 1024', '-64', '100', '1088'],
    '--threads': ['a whole number from 1 to 256', '0'],
    '--decode-previews': ['a whole number from 0 to 1000', '-1'],
  }
  test.each(Object.entries(numbers))('%s out of range', async (option, [allowed, ...values]) => {
    for (const value of [...values, 'NaN', '1e99', 'Infinity', 'text', '']) {
      const { code, said } = await refused(option, value)
      expect(said).toContain(`argument '${value}' is invalid. Allowed is ${allowed}.`)
      expect(code).toBe(2)
    }
  })

  test.each([
    ['--task', 'x', 'recontextualize, retexture'],
    ['--method', 'x', 'moma, ip-adapter, no-mask, no-subject, no-mllm'],
    ['--sampler', 'x', 'ddim, dpm-solver++, unipc'],
    ['--provider', 'x', 'cpu, cuda, webgpu'],
  ])('%s %s', async (option, value, allowed) => {
    const { code, said } = await refused(option, value)
    expect(said).toContain(`argument '${value}' is invalid. Allowed choices are ${allowed}.`)
    expect(code).toBe(2)
  })

  test('MOMA_PROVIDER that is wrong, but not one that is empty', async () => {
    const before = process.env.MOMA_PROVIDER
    try {
      process.env.MOMA_PROVIDER = ''
      expect(await refused('--label', '!!')).toMatchObject({
        code: 2,
        said: expect.stringMatching(/^moma: label "!!"/),
      })
      process.env.MOMA_PROVIDER = 'x'
      const { code, said } = await refused()
      expect(said).toContain("value 'x' from env 'MOMA_PROVIDER' is invalid. Allowed choices are cpu, cuda, webgpu.")
      expect(code).toBe(2)
    } finally {
      if (before === undefined) delete process.env.MOMA_PROVIDER
      else process.env.MOMA_PROVIDER = before
    }
  })

  test('an unknown bundle, and one whose manifest is no JSON', async () => {
    expect(await refused('--bundle', 'nothing')).toEqual({
      code: 3,
      said: 'moma: The bundle is "nothing"; allowed: moma-mini, moma-sd15, moma-test, moma-toy.\n',
    })
    mkdirSync(join(toy.models, 'broken'))
    writeFileSync(join(toy.models, 'broken', 'manifest.json'), '{')
    expect(await refused('--bundle', 'broken')).toMatchObject({ code: 3, said: expect.stringContaining('is not JSON') })
  })

  const damages: [string, (manifest: string, folder: string) => void, string][] = [
    [
      'a config without a field',
      (file) => edit(file, 'block_out_channels', 'block_out'),
      'block_out_channels is nothing, allowed is',
    ],
    [
      'a setting out of range',
      (file) => edit(file, '"guidance": 7.5', '"guidance": 99'),
      'settings.guidance is 99; allowed: a number from 1 to 30',
    ],
    ['weights that are not there', (_, at) => rmSync(join(at, 'networks/unet')), 'has no file networks/unet/'],
    [
      'weights cut short',
      (_, at) => replace(join(at, 'networks/vae'), 'diffusion_pytorch_model.safetensors'),
      'VAE encoder: ',
    ],
    ['no tokenizers', (_, at) => rmSync(join(at, 'networks/tokenizers')), 'is missing'],
  ]
  test.each(damages)('a bundle with %s', async (_, damage, sentence) => {
    using other = createToyBundle()
    damage(join(other.folder, 'manifest.json'), other.folder)
    process.env.MOMA_MODELS = other.models
    const { code, said } = await refused('--out', join(other.models, 'out')).finally(() => {
      process.env.MOMA_MODELS = toy.models
    })
    expect(said).toContain(sentence)
    expect(said).toMatch(/^moma: [^\n]*\n$/)
    expect(code).toBe(3)
  })
})

function edit(file: string, from: string, to: string): void {
  const content = readFileSync(file, 'utf8')
  expect(content).toContain(from)
  writeFileSync(file, content.replaceAll(from, to))
}

/** A folder of one file that is cut short, in place of the link to the recorded one. */
function replace(path: string, name: string): void {
  const bytes = readFileSync(join(path, name))
  rmSync(path)
  mkdirSync(path)
  writeFileSync(join(path, name), bytes.subarray(0, 5000))
}

test('the end of a prompt that the text encoder does not see is said, also when progress is not', () => {
  const prompt = `a toy ${'in a very large green garden with spring flowers '.repeat(8)}and a red balloon`
  const { status, stderr } = generate('--quiet', '--steps', '1', '--prompt', prompt)
  expect(stderr).toMatch(/^the prompt is longer than the text encoder reads; it does not see: ".*balloon"\n$/)
  expect(status).toBe(0)
}, 30_000)

test('a fault is one sentence and an exit code in a real process too', () => {
  const { status, stdout, stderr } = generate('--image', join(folder, 'text.txt'))
  expect(stderr).toMatch(/^moma: image: the file is text[^\n]*\n$/)
  expect(stdout).toBe('')
  expect(status).toBe(2)
})

test('generate finds the thing itself where nobody has marked it', () => {
  const { status, stdout, stderr } = draw('--steps', '1', '--seed', '9')
  expect(stderr).toContain('segmentation')
  expect(status).toBe(0)
  expect(stdout).toContain('toy-a-toy-on-a-beach-9.png')
}, 30_000)

test('models list shows the bundle', () => {
  expect(moma('models', 'list').stdout).toContain('moma-toy        ready')
})

test('safety evaluate prints how well texts are judged, and writes a page', () => {
  const page = join(folder, 'safety.html')
  const sets = join(folder, 'sets.json')
  const set = { category: 'some', language: 'en', field: 'label', expect: 'REJECTED_PERSON' }
  writeFileSync(sets, JSON.stringify([{ ...set, texts: ['woman', 'cup'] }]))
  const { status, stdout } = moma('safety', 'evaluate', '--prompts', sets, '--html', page)
  // One of them is judged otherwise than expected.
  expect(status).toBe(1)
  expect(stdout).toMatch(/^policy moma-4\/words\n/)
  expect(stdout).toMatch(/some \(label, en\) +REJECTED_PERSON +2 +1 +50\.0 %/)
  expect(stdout).toContain('"cup": expected REJECTED_PERSON, got ALLOWED')
  expect(readFileSync(page, 'utf8')).toContain('expected REJECTED_PERSON, got ALLOWED')
  const { stdout: json } = moma('safety', 'evaluate', '--prompts', sets, '--json')
  expect(JSON.parse(json)).toMatchObject({
    judges: ['words'],
    sets: [{ count: 2, right: 1 }],
    wrong: [{ name: 'cup' }],
  })
})

test('safety evaluate is content where all texts are judged as expected, whatever pictures are', () => {
  const sets = join(folder, 'right.json')
  const set = { category: 'some', language: 'en', field: 'label', expect: 'REJECTED_PERSON' }
  writeFileSync(sets, JSON.stringify([{ ...set, texts: ['woman'] }]))
  const pictures = join(folder, 'judged')
  mkdirSync(join(pictures, 'person'), { recursive: true })
  // No person, so it is not refused.
  writeFileSync(join(pictures, 'person', 'thing.png'), readFileSync(photo))
  const { status, stdout } = moma('safety', 'evaluate', '--prompts', sets, '--pictures', pictures)
  expect(stdout).toContain('thing.png": expected REJECTED_PERSON, got ALLOWED')
  expect(status).toBe(0)
})

test('safety evaluate says what is wrong with its settings in one sentence', () => {
  const missing = moma('safety', 'evaluate', '--prompts', join(folder, 'none.json'))
  expect(missing).toMatchObject({ status: 2, stderr: expect.stringMatching(/^moma: The prompt sets .* can't be read/) })
})

test('generate signs its pictures by the certificate that the environment names', async () => {
  const { certificates, privateKey } = await testCertificate()
  const [certificate, key] = [join(folder, 'signer.pem'), join(folder, 'signer.key')]
  writeFileSync(certificate, certificates)
  writeFileSync(key, privateKey)
  const variables = { MOMA_C2PA_CERTIFICATE: certificate, MOMA_C2PA_KEY: key }
  const args = ['generate', '--image', photo, '--mask', mask, '--label', 'toy', '--prompt', 'a toy', '--steps', '2']
  const run = (env: NodeJS.ProcessEnv) =>
    spawnSync(process.execPath, [program, ...args, '--out', out], {
      encoding: 'utf8',
      env: { ...environment, ...env },
    })
  const signed = run(variables)
  expect([signed.status, signed.stderr]).toEqual([0, expect.not.stringContaining('expires')])
  expect(readFileSync(signed.stdout.trim()).includes('c2pa.created')).toBe(true)
  const wrong = run({ ...variables, MOMA_C2PA_KEY: '' })
  expect([wrong.status, wrong.stdout]).toEqual([2, ''])
  expect(wrong.stderr).toContain('MOMA_C2PA_KEY is missing')
})
