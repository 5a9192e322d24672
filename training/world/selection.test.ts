import { choose, roleOf } from './selection.ts'

const categories = new Map([
  ...['man-astronaut', 'man-astronaut-dark-skin-tone', 'astronaut', 'man-dark-skin-tone-bald', 'man-bald', 'girl'].map(
    (name) => [name, 'People & Body'] as const,
  ),
  ...['raised-hand', 'person-raising-hand', 'ear-with-hearing-aid', 'people-holding-hands'].map(
    (name) => [name, 'People & Body'] as const,
  ),
  ['grinning-face', 'Smileys & Emotion'],
  ['dark-chocolate', 'Food & Drink'],
  ['moai', 'Objects'],
])

test('skin tones are no other role, in neither spelling', () => {
  expect(roleOf('man-astronaut-dark-skin-tone', categories)).toBe('man-astronaut')
  expect(roleOf('man-astronaut-medium-light', categories)).toBe('man-astronaut')
  expect(roleOf('man-dark-skin-tone-bald', categories)).toBe('man-bald')
  expect(roleOf('dark-chocolate', categories)).toBe('dark-chocolate')
})

test('persons who do the same are in one group, whoever they are', () => {
  const astronauts = ['astronaut', 'astronaut-dark', 'man-astronaut-dark-skin-tone', 'man-astronaut-medium-light'].map(
    (name) => choose('noto', name, categories),
  )
  for (const one of astronauts) expect(one).toMatchObject({ kind: 'person', group: 'astronaut' })
})

test('of persons a drawing is in one split, in all skin tones, whichever way it faces, flat or shaded', () => {
  const roles = [
    'astronaut',
    'running',
    'bowing',
    'walking',
    'surfing',
    'swimming',
    'juggling',
    'cook',
    'pilot',
    'judge',
  ]
  const splitOf = (set: string, name: string) => choose(set, name, categories)?.split
  const splits = roles.flatMap((role) =>
    ['man', 'woman'].map((who) => {
      const split = splitOf('fluent-emoji', `${who}-${role}`)
      for (const name of [`${who}-${role}-dark`, `${who}-${role}-facing-right`, `${who}-${role}-facing-right-light`])
        expect(splitOf('fluent-emoji', name)).toBe(split)
      expect(splitOf('fluent-emoji-flat', `${who}-${role}`)).toBe(split)
      return split
    }),
  )
  expect(new Set(splits)).toEqual(new Set(['train', 'held_out']))
})

test('whatever a group that is held out does, all of it is', () => {
  for (const set of ['noto', 'fluent-emoji'])
    for (const who of ['man', 'woman', 'person'])
      expect(choose(set, `${who}-playing-water-polo`, categories)).toMatchObject({ split: 'held_out' })
})

test('children are held out', () => {
  expect(choose('noto', 'girl', categories)).toMatchObject({ kind: 'person', group: 'child', split: 'held_out' })
})

test('persons that the metadata does not list are persons, statues are doubtful', () => {
  expect(choose('noto', 'woman-wrestling-dark', categories)).toMatchObject({ kind: 'person', group: 'wrestling' })
  expect(choose('noto', 'moai', categories)).toMatchObject({ kind: 'doubtful' })
  expect(choose('noto', 'on-arrow', categories)).toBeNull()
})

test('hands and smileys alone are nobody, whoever raises a hand is somebody', () => {
  for (const name of ['raised-hand', 'ear-with-hearing-aid', 'grinning-face'])
    expect(choose('noto', name, categories)).toMatchObject({ kind: 'doubtful' })
  for (const name of ['person-raising-hand', 'people-holding-hands'])
    expect(choose('noto', name, categories)).toMatchObject({ kind: 'person' })
})
