import { setTimeout as sleep } from 'node:timers/promises'
import { createMemoryEvents } from '../../lib/mesh/events/memory-events.ts'
import { silentLogger } from '../../lib/mesh/log.ts'
import { decodeProgress, type Snapshot } from '../progress.ts'
import { createReports } from './reports.ts'

const snapshot = (step: number, stage: Snapshot['stage']): Snapshot => ({
  ...{ id: 'g', attempt: 1, status: 'RUNNING', stage, step, steps: 9, imageIndex: 0, queuePosition: 0 },
  ...{ etaMs: null, preview: null, mask: null, time: new Date(0) },
})

/** Reports, and what was published of them. */
function tell() {
  const events = createMemoryEvents()
  const told: string[] = []
  const reports = createReports(
    {
      ...events,
      publish(topic, data) {
        const { stage, step } = decodeProgress(data, '')!.progress
        told.push(`${stage.replace('STAGE_', '')} ${step}`)
        return events.publish(topic, data)
      },
    },
    silentLogger,
  )
  return { reports, told }
}

test('every step is told, in order, and the last of what is said between two', async () => {
  const { reports, told } = tell()
  for (const stage of ['REVIEW_INPUT', 'VISION', 'CONTEXT', 'DENOISE'] as const) reports.say(snapshot(0, stage))
  for (const step of [1, 2, 3]) reports.say(snapshot(step, 'DENOISE'))
  reports.say(snapshot(3, 'REVIEW_OUTPUT'))
  await reports.settled()
  expect(told).toEqual(['REVIEW_INPUT 0', 'DENOISE 1', 'DENOISE 2', 'DENOISE 3', 'REVIEW_OUTPUT 3'])
})

test('what nothing follows is told after a while, and stages that last are told each', async () => {
  const { reports, told } = tell()
  for (const stage of ['DENOISE', 'REVIEW_OUTPUT', 'STORE'] as const) {
    reports.say(snapshot(9, stage))
    await sleep(40)
  }
  expect(told).toEqual(['DENOISE 9', 'REVIEW_OUTPUT 9', 'STORE 9'])
})

test('what is forgotten is not told', async () => {
  const { reports, told } = tell()
  reports.say(snapshot(9, 'DENOISE'))
  await sleep(2)
  reports.say(snapshot(9, 'STORE'))
  reports.forget()
  await reports.settled()
  expect(told).toEqual(['DENOISE 9'])
})
