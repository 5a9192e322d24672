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

test('persons who do the same are in one group, whoever they are, and so in one split', () => {
  const astronauts = ['astronaut', 'astronaut-dark', 'man-astronaut-dark-skin-tone', 'man-astronaut-medium-light'].map(
    (name) => choose(name, categories),
  )
  for (const one of astronauts) expect(one).toEqual({ ...astronauts[0], label: one!.label })
  expect(astronauts[0]).toMatchObject({ kind: 'person', group: 'astronaut' })
})

test('children are held out', () => {
  expect(choose('girl', categories)).toMatchObject({ kind: 'person', group: 'child', split: 'held_out' })
})

test('persons that the metadata does not list are persons, statues are doubtful', () => {
  expect(choose('woman-wrestling-dark', categories)).toMatchObject({ kind: 'person', group: 'wrestling' })
  expect(choose('moai', categories)).toMatchObject({ kind: 'doubtful' })
  expect(choose('on-arrow', categories)).toBeNull()
})

test('hands and smileys alone are nobody, whoever raises a hand is somebody', () => {
  for (const name of ['raised-hand', 'ear-with-hearing-aid', 'grinning-face'])
    expect(choose(name, categories)).toMatchObject({ kind: 'doubtful' })
  for (const name of ['person-raising-hand', 'people-holding-hands'])
    expect(choose(name, categories)).toMatchObject({ kind: 'person' })
})
