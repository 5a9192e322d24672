import { pictureName } from './picture-name.ts'

const named = (prompt: string, method: Parameters<typeof pictureName>[1]['method'] = 'moma') =>
  pictureName('dog', { prompt, method }, 7)

test('a picture is named by label, prompt and seed, and by the method that is not MoMA', () => {
  expect(named('a dog in a green garden')).toBe('dog-a-dog-in-a-green-garden-7.png')
  expect(named('a dog', 'ip-adapter')).toBe('dog-a-dog-ip-adapter-7.png')
  expect(pictureName('狗', { prompt: '一只狗在雪地里', method: 'moma' }, 7)).toBe('狗-一只狗在雪地里-7.png')
})

test('two prompts have two names, also where their words end or sound the same', () => {
  const long = 'a dog in a green garden with many spring flowers before a house'
  const prompts = [
    `${long} of bricks`,
    `${long} of straw`,
    'a dog',
    'a dog!',
    'A dog',
    'a  dog',
    'a-dog',
    'a dog ',
    '!',
    '?',
  ]
  expect(new Set(prompts.map((prompt) => named(prompt))).size).toBe(prompts.length)
  expect(named(prompts[0]!)).toMatch(/^dog-a-dog-in-a-green-garden-with-many-spring-flowers-before-[0-9a-f]{8}-7\.png$/)
  expect(named('a dog!')).toMatch(/^dog-a-dog-[0-9a-f]{8}-7\.png$/)
})
