import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { findSubjects } from './subject-folders.ts'

const folder = mkdtempSync(join(tmpdir(), 'moma-subjects-'))
afterAll(() => rmSync(folder, { recursive: true }))

let made = 0
/** A folder with these files; content does not matter where none is given. */
function withFiles(files: Readonly<Record<string, string>>): string {
  const inside = join(folder, String(made++))
  mkdirSync(inside)
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(inside, name)), { recursive: true })
    writeFileSync(join(inside, name), content)
  }
  return inside
}

test('photos by name, masks by the same name, labels from the nearest that says one', async () => {
  const root = withFiles({
    'bear_plushie/02.jpg': '',
    'bear_plushie/00.JPG': '',
    'bear_plushie/masks/00.png': '',
    'bear_plushie/notes.txt': '',
    'dog-2/00.png': '',
    'cat2/00.png': '',
    'things/00.png': '',
    'things/subject.json': '{"label": "teddy bear", "class": "toy", "icon": "x"}',
    'empty/notes.txt': '',
    'prompts_and_classes.txt': 'subject_name,class\ncat2,cat\nthings,stuffed animal\n',
    '.hidden/00.png': '',
  })
  const { subjects, list } = await findSubjects(root)
  expect(subjects.map(({ name, label, class: subjectClass }) => [name, label, subjectClass])).toEqual([
    ['bear_plushie', 'bear plushie', 'bear plushie'],
    ['cat2', 'cat', 'cat'],
    ['dog-2', 'dog', 'dog'],
    ['things', 'teddy bear', 'toy'],
  ])
  expect(subjects[0]!.photos).toEqual([
    { path: join(root, 'bear_plushie/00.JPG'), maskPath: join(root, 'bear_plushie/masks/00.png') },
    { path: join(root, 'bear_plushie/02.jpg'), maskPath: null },
  ])
  expect(list?.prompts).toBeNull()
})

test('a selection of a dataset may be links to its folders; a link that leads nowhere is passed over', async () => {
  const dataset = withFiles({ 'dog/00.png': '', 'cat/00.png': '' })
  const selection = withFiles({})
  symlinkSync(join(dataset, 'cat'), join(selection, 'cat'))
  symlinkSync(join(dataset, 'horse'), join(selection, 'horse'))
  expect((await findSubjects(selection)).subjects.map(({ name }) => name)).toEqual(['cat'])
})

test.each<[string, Record<string, string>, string]>([
  ['no photos', { 'dog/notes.txt': '' }, 'has 0 folders with photos (.png, .jpg, .jpeg, .webp), allowed are 1 to 200'],
  ['no JSON', { 'dog/0.png': '', 'dog/subject.json': '{' }, 'dog/subject.json is no JSON object'],
  ['a label that is none', { 'dog/0.png': '', 'dog/subject.json': '{"label": 3}' }, 'label is 3, allowed is a noun'],
  [
    'too many photos',
    Object.fromEntries(Array.from({ length: 33 }, (_, index) => [`dog/${index}.png`, ''])),
    'has 33 photos, allowed are 1 to 32',
  ],
])('%s: one sentence', async (_, files, message) => {
  await expect(findSubjects(withFiles(files))).rejects.toThrow(message)
})

test('a folder that is not there', async () => {
  await expect(findSubjects(join(folder, 'nowhere'))).rejects.toThrow("nowhere can't be listed")
})
