import { encodePlane, encodePreview } from '../../lib/images/preview.ts'
import { MeshError } from '../../lib/mesh/errors.ts'
import type { Verdict } from '../../safety/safety.ts'
import type { CompleteRequest } from '../request.ts'
import type { Subject } from '../subject.ts'
import type {
  EndReason,
  Entered,
  KeptAsset,
  NewAsset,
  NewImage,
  PreviewKind,
  Run,
  RunStore,
  Stage,
} from './run-store.ts'
import { allowed } from './test-services.ts'

/** A generation as the tests see it. */
export interface TestRow {
  status: string
  attempt: number
  faults: number
  readonly stages: Stage[]
  step: number
  checkpoint: Run['checkpoint']
  furthestStep: number
  unreadPrompt: string | null
  promptVerdict: Verdict | null
  readonly previews: { readonly kind: string; readonly asset: NewAsset }[]
  images: readonly NewImage[]
  reason: EndReason | null
}

export interface TestRunStore extends RunStore {
  add(id: string, request: CompleteRequest): TestRow
  row(id: string): TestRow
  /** What let the subject in. */
  admitted: Verdict
  /** From now on everything throws, as when the database is away; or no more. */
  away: boolean
  /** Resolves once it has ended. */
  ended(id: string): Promise<TestRow>
}

const unfinished = ['QUEUED', 'RUNNING', 'CANCELING']

/** A system of record in memory, for one subject. */
export function createTestRunStore(subject: Subject, maxAttempts = 5): TestRunStore {
  const rows = new Map<string, TestRow & { request: CompleteRequest }>()
  const waiting = new Set<() => void>()
  const changed = () => {
    for (const wake of waiting) wake()
  }
  const row = (id: string) => {
    const found = rows.get(id)
    if (!found) throw new RangeError(`no row ${id}`)
    return found
  }
  const isCurrent = ({ id, attempt }: Run, statuses = ['RUNNING']) =>
    row(id).attempt === attempt && statuses.includes(row(id).status)
  const store: TestRunStore = {
    admitted: allowed,
    away: false,
    add(id, request) {
      const fresh = {
        stages: [],
        previews: [],
        images: [],
        reason: null,
        checkpoint: null,
        unreadPrompt: null,
        promptVerdict: null,
        step: 0,
        attempt: 0,
        faults: 0,
        furthestStep: 0,
        request,
      }
      rows.set(id, { ...fresh, status: 'QUEUED' })
      return row(id)
    },
    row,
    async ended(id) {
      while (unfinished.includes(row(id).status)) {
        await new Promise<void>((resolve) => {
          waiting.add(resolve)
        })
      }
      return row(id)
    },
    async begin(id) {
      check()
      const found = rows.get(id)
      if (found?.status === 'CANCELING') end(found, 'CANCELED', null)
      if (!found || !['QUEUED', 'RUNNING'].includes(found.status)) return null
      if (found.faults >= maxAttempts) {
        end(found, 'FAILED', { message: 'begun too often', stage: null, retryable: true, verdict: null })
        return null
      }
      found.attempt++
      found.previews.length = 0
      found.faults++
      found.status = 'RUNNING'
      const { label, contentHash } = subject
      return {
        id,
        tenant: 'test',
        attempt: found.attempt,
        faults: found.faults,
        subject: {
          ...{ id: 'subject', label, contentHash, image: 'image', mask: 'mask' },
          policyVersion: store.admitted.policyVersion,
        },
        request: found.request,
        checkpoint: found.checkpoint,
      }
    },
    async enterStages(run, entered) {
      check()
      if (!isCurrent(run)) return false
      enter(run, entered)
      return true
    },
    async keepStep(run, step, bytes, entered = []) {
      check()
      if (!isCurrent(run)) return false
      enter(run, entered)
      const kept = row(run.id)
      kept.step = step
      if (!bytes) return true
      kept.checkpoint = { step, bytes }
      if (step > kept.furthestStep) Object.assign(kept, { furthestStep: step, faults: 1 })
      return true
    },
    async keepVerdicts(run, prompt, subject, entered = []) {
      check()
      if (!isCurrent(run)) return false
      enter(run, entered)
      row(run.id).promptVerdict = prompt
      if (subject) store.admitted = subject
      return true
    },
    async keepUnread(run, text, entered = []) {
      check()
      if (!isCurrent(run)) return false
      enter(run, entered)
      row(run.id).unreadPrompt = text
      return true
    },
    async keepPreviews<Kind extends PreviewKind>(run: Run, assets: Readonly<Record<Kind, NewAsset>>) {
      check()
      if (!isCurrent(run)) return null
      const kept = Object.entries<NewAsset>(assets).map(([kind, asset]): [string, KeptAsset] => {
        row(run.id).previews.push({ kind: kind as Kind, asset })
        const { bytes, ...rest } = asset
        return [kind, { ...rest, token: `${kind}-${row(run.id).previews.length}`, byteLength: bytes.length }]
      })
      return Object.fromEntries(kept) as Record<Kind, KeptAsset>
    },
    async dropPreviews(run) {
      check()
      if (!isCurrent(run)) return false
      row(run.id).previews.length = 0
      return true
    },
    async reserve() {
      check()
      return []
    },
    async succeed(run, images, entered = []) {
      check()
      if (!isCurrent(run)) return false
      enter(run, entered)
      row(run.id).images = images
      end(row(run.id), 'SUCCEEDED', null)
      return true
    },
    async end(run, status, reason) {
      check()
      if (!isCurrent(run, ['RUNNING', 'CANCELING'])) return false
      if (row(run.id).status === 'CANCELING') end(row(run.id), 'CANCELED', null)
      else end(row(run.id), status, reason)
      return true
    },
    async handBack(run) {
      check()
      if (!isCurrent(run)) return false
      row(run.id).faults--
      return true
    },
    async countFaults({ id }) {
      check()
      return row(id).faults
    },
    async isStopped(run) {
      check()
      return !isCurrent(run)
    },
    async *unfinished() {
      check()
      for (const [id, { status }] of rows) if (unfinished.includes(status)) yield id
    },
    async readAsset(key) {
      check()
      return key === 'image' ? encodePreview(subject.reference, 'png') : encodePlane(subject.mask)
    },
  }
  function check() {
    if (store.away) throw new MeshError('UNAVAILABLE', "generation: the database can't be reached, try again later")
  }
  function enter({ id }: Run, entered: readonly Entered[]) {
    row(id).stages.push(...entered.map(({ stage }) => stage))
  }
  function end(ended: TestRow, status: string, reason: EndReason | null) {
    ended.status = status
    ended.reason = reason
    changed()
  }
  return store
}
