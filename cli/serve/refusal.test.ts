import { opaquePhoto } from '../../services/generation/test-server.ts'
import { createJudge } from '../../services/safety/judge.ts'
import { readPolicy } from '../../services/safety/policy/policy.ts'
import { openTestGeneration, type TestGeneration } from './test-generation.ts'

// What a refusal costs: which of the services that `moma serve generation` asks are asked before it.

const tenant = 'tenant'
const somebody = { score: 0.9, region: { left: 0.25, top: 0.25, width: 0.5, height: 0.5 } }

let people: (typeof somebody)[] = []
let mesh: TestGeneration
beforeAll(async () => {
  const detector = { detect: async () => people }
  mesh = await openTestGeneration(createJudge(readPolicy(), { personDetector: detector }))
}, 60_000)
afterAll(() => mesh[Symbol.asyncDispose]())

/** Creates a subject of a photo that says nothing of where its subject is, and tells who was asked for it. */
async function create(label: string) {
  const uploadId = await mesh.upload(tenant, await opaquePhoto())
  const before = { ...mesh.counts }
  const made = await mesh.client.createSubject({ tenant, uploadId, label })
  const asked = Object.entries(mesh.counts).map(([name, count]) => [name, count - before[name as keyof typeof before]])
  return { ...made, asked: Object.fromEntries(asked) }
}

/** What is answered to whoever wants a picture of the newest subject. */
async function draw() {
  const { subjects } = await mesh.client.listSubjects({ tenant, pageSize: 1 })
  return mesh.client.createGeneration({ tenant, subjectId: subjects[0]!.id, settings: { prompt: 'a toy' } })
}

const nobody = { patchFeatures: 0, imageEmbedding: 0, contextEmbedding: 0, draw: 0, reviewPicture: 0 }

test('a label that is refused: only its words were looked at', async () => {
  people = []
  const { problem, asked } = await create('man')
  expect(problem).toMatchObject({
    kind: 'personSubjectRejected',
    message: 'the subject is a person, allowed are things ("man" in the label names a person)',
    personSubjectRejected: { verdict: { findings: [{ stage: 'STAGE_SUBJECT', detector: 'words/person' }] } },
  })
  expect(asked).toEqual({ ...nobody, segment: 0, reviewPrompt: 1, reviewSubject: 0 })
  expect(await draw()).toMatchObject({ generation: null, problem: { kind: 'personSubjectRejected' } })
})

test('a photo that is refused: nobody has seen it but what found its mask, and the judge', async () => {
  people = [somebody]
  const { problem, asked } = await create('lamp')
  expect(problem).toMatchObject({
    kind: 'personSubjectRejected',
    personSubjectRejected: { verdict: { findings: [{ stage: 'STAGE_SUBJECT', detector: 'person-detector' }] } },
  })
  expect(asked).toEqual({ ...nobody, segment: 1, reviewPrompt: 1, reviewSubject: 1 })
  expect(await draw()).toMatchObject({ generation: null, problem: { kind: 'personSubjectRejected' } })
})

test('one that is allowed was seen by the same', async () => {
  people = []
  const { subject, asked } = await create('lamp')
  expect(subject).toMatchObject({ status: 'SUBJECT_STATUS_READY' })
  expect(asked).toEqual({ ...nobody, segment: 1, reviewPrompt: 1, reviewSubject: 1 })
})
