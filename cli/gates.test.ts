import { setTimeout as sleep } from 'node:timers/promises'
import { createJudge } from '../services/safety/judge.ts'
import { readPolicy } from '../services/safety/policy/policy.ts'
import type { Safety } from '../services/safety/safety.ts'
import { gatesOf } from './gates.ts'

const size = { widthPx: 8, heightPx: 8 }
const picture = { ...size, pixels: new Uint8Array(8 * 8 * 3), alpha: null }
const subject = { reference: picture, mask: { ...size, pixels: new Uint8Array(64).fill(255) }, label: 'dog' }
const words = { label: 'dog', prompt: 'a dog', negativePrompt: '' }
const going = new AbortController().signal

/** What comes of it; nothing that takes long is waited for. */
const soon = (work: Promise<unknown>) => Promise.race([work, sleep(5000, 'nothing', { ref: false })])

test('a judge that never answers has given no verdict', async () => {
  const never = () => new Promise<never>(() => undefined)
  const stuck: Safety = { reviewPrompt: never, reviewSubject: never, reviewPicture: never }
  const gates = gatesOf(stuck, [], 50)
  const late = /^.* was not judged within 50 ms, and nothing goes on without a verdict$/
  await expect(soon(gates.request(words, going))).rejects.toThrow(late)
  await expect(soon(gates.subject(subject, going))).rejects.toThrow(late)
  await expect(soon(gates.refusal(picture, 'dog', going))).rejects.toThrow(late)
  const interrupted = new AbortController()
  setTimeout(() => interrupted.abort(new Error('Ctrl-C')), 10)
  await expect(soon(gatesOf(stuck, []).subject(subject, interrupted.signal))).rejects.toThrow('Ctrl-C')
})

test('one that breaks has given none either; one that answers is heard', async () => {
  const broken = async () => Promise.reject(new Error('the network is gone'))
  const gates = gatesOf({ ...createJudge(readPolicy()), reviewPicture: broken }, [])
  await expect(gates.refusal(picture, 'dog', going)).rejects.toThrow('the network is gone')
  await gates.request(words, going)
  await expect(gates.request({ ...words, label: 'man' }, going)).rejects.toMatchObject({ name: 'RefusedByPolicy' })
})
