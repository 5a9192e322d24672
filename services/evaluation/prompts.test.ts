import { parseDreamBoothFile } from './dreambooth-file.ts'
import { fillPrompt, paperPrompts, parsePromptLists } from './prompts.ts'

test.each([
  ['a {label} in the snow', 'dog', 'a dog in the snow'],
  ['a {label} in the snow', 'old $& can', 'an old $& can in the snow'],
  ['A {label} alone', 'egg', 'An egg alone'],
  ['a red {label}', 'egg', 'a red egg'],
  ['A sculpture of a {label} made of green jade', 'apple', 'A sculpture of an apple made of green jade'],
])('%s of %s', (text, label, sentence) => {
  expect(fillPrompt({ key: 'k', text }, label)).toBe(sentence)
})

test("the paper's protocol: 25 contexts, other ones for animals, and ten materials in its spelling", () => {
  const [cat, vase] = [paperPrompts('cat'), paperPrompts('vase')]
  for (const { context, texture } of [cat, vase]) {
    expect(new Set(context.map(({ key }) => key)).size).toBe(25)
    expect(texture.map(({ key }) => key).join('/')).toBe(
      'Lego/Paper/Gold/Wood/silver/green jade/glass/stone/sketch/Minecraft',
    )
  }
  expect(cat.context.map(({ key }) => key)).toContain('wearing a black top hat and a monocle')
  expect(vase.context.map(({ key }) => key)).toContain('with the Eiffel Tower in the background')
  expect(vase.context.at(-1)).toEqual({ key: 'a cube shaped …', text: 'a cube shaped {label}' })
})

describe("a bundle's own prompts", () => {
  const sound = {
    formatVersion: 1,
    context: [{ key: 'snow', text: 'a {label} in the snow' }],
    texture: [{ key: 'Gold', text: 'A sculpture of a {label} made of Gold' }],
  }

  test('are kept', () => {
    const { formatVersion: _, ...lists } = sound
    expect(parsePromptLists(sound, 'prompts.json')).toEqual(lists)
  })

  test.each([
    [{ formatVersion: 2 }, 'prompts.json: formatVersion is 2; allowed: 1.'],
    [{ context: [] }, 'context is []; allowed: a list of 1 to 200 items'],
    [
      { context: [{ key: 'snow', text: 'in the snow' }] },
      'context[0].text is "in the snow"; allowed: a text with one {label}',
    ],
    [{ texture: [sound.texture[0], sound.texture[0]] }, 'texture is "Gold"; allowed: keys that differ'],
    [{ places: [] }, 'places is []; allowed: no such field here'],
  ])('%j is refused', (fields, message) => {
    expect(() => parsePromptLists({ ...sound, ...fields }, 'prompts.json')).toThrow(message)
  })
})

describe("DreamBooth's file", () => {
  const file = `Classes
-------
subject_name,class
backpack_dog,backpack
cat2,cat
poop_emoji,toy
wolf_plushie,stuffed animal

Prompts
-------
Object Prompts
prompt_list = [
'a {0} {1} in the jungle'.format(unique_token, class_token),
'a red {0} {1}'.format(unique_token, class_token),
'a {0} {1} in the jungle'.format(unique_token, class_token),
]
Live Subject Prompts
prompt_list = [
"a {0} {1} wearing a red hat".format(unique_token, class_token)
]`

  test('gives classes and both lists', () => {
    const { classes, prompts } = parseDreamBoothFile(file)
    expect([...classes]).toEqual([
      ['backpack_dog', 'backpack'],
      ['cat2', 'cat'],
      ['poop_emoji', 'toy'],
      ['wolf_plushie', 'stuffed animal'],
    ])
    expect(prompts?.('toy').context).toEqual([
      { key: 'in the jungle', text: 'a {label} in the jungle' },
      { key: 'a red …', text: 'a red {label}' },
    ])
    expect(prompts?.('cat').context.map(({ text }) => text)).toEqual(['a {label} wearing a red hat'])
    expect(prompts?.('cat').texture).toHaveLength(10)
  })

  test('may hold classes alone', () => {
    expect(parseDreamBoothFile('dog,dog').prompts).toBeNull()
  })
})
