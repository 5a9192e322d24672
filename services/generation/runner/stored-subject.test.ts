import { createContentCache } from '../../lib/content-cache.ts'
import type { Run } from './run-store.ts'
import { pictureBytes, readStoredSubject, type SubjectPictures } from './stored-subject.ts'
import { createTestRunStore } from './test-run-store.ts'
import { testSubject } from './test-services.ts'

const subject = testSubject()
const stored = createTestRunStore(subject)
const runOf = (label: string, contentHash = subject.contentHash) =>
  ({ subject: { id: 'subject', label, contentHash, image: 'image', mask: 'mask' } }) as Run

function counted() {
  const read: string[] = []
  const store = {
    readAsset(key: string) {
      read.push(key)
      return stored.readAsset(key)
    },
  }
  return { store, read }
}

test('its pictures are read once, for whatever noun', async () => {
  const { store, read } = counted()
  const cache = createContentCache<SubjectPictures>(2 ** 20, pictureBytes)
  expect(await readStoredSubject(store, runOf('dog'), cache, 64)).toEqual(subject)
  expect(await readStoredSubject(store, runOf('cat'), cache, 64)).toEqual({ ...subject, label: 'cat' })
  expect(read).toEqual(['image', 'mask'])
  expect(pictureBytes(subject)).toBe(7 * 64 * 64)
})

test('files that are not what was kept are DATA_LOSS each time', async () => {
  const { store, read } = counted()
  const cache = createContentCache<SubjectPictures>(2 ** 20, pictureBytes)
  for (let time = 1; time <= 2; time++) {
    await expect(readStoredSubject(store, runOf('dog', 'another hash'), cache, 64)).rejects.toMatchObject({
      code: 'DATA_LOSS',
    })
    expect(read).toHaveLength(2 * time)
  }
})
