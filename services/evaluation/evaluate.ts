import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { type CompleteRequest, completeRequest, type Method } from '../generation/request.ts'
import { readSubject, type Segmentation, type Subject } from '../generation/subject.ts'
import type { Settings } from '../lib/bundles/manifest.ts'
import { decodeImage } from '../lib/images/decode.ts'
import { type DrawTools, drawUnit } from './draw-unit.ts'
import { unitKey } from './identity.ts'
import { type Journal, type JournalRecord, unpackVector } from './journal.ts'
import { measure, type PictureEmbeddings, type References } from './measures.ts'
import type { MetricName } from './metric-list.ts'
import type { Metrics } from './metrics.ts'
import { fillPrompt, type PromptBook, type PromptKind, promptKinds } from './prompts.ts'
import { drawUnits, type Unit } from './protocol.ts'
import { type EvaluationSettings, type Report, type ReportSubject, reportOf } from './report.ts'
import { mean } from './statistics.ts'
import { atPath, readPicture, type SubjectFolder } from './subject-folders.ts'
import { type Result, summarise } from './summary.ts'

/** What decides the evaluation's pictures; the rest is the bundle's. */
export interface EvaluationRequest {
  readonly seed: number
  readonly methods: readonly Method[]
  /** null for all. */
  readonly promptsPerKind: number | null
  readonly count: number
  readonly sizePx: number
  readonly steps?: number
  readonly sampler?: CompleteRequest['sampler']
}

export interface EvaluatedBundle {
  readonly name: string
  readonly settings: Settings
  readonly rehearsal: boolean
  /** See `bundleIdentity`. */
  readonly identity: string
}

export interface Evaluation {
  readonly bundle: EvaluatedBundle
  readonly tools: DrawTools
  readonly folders: readonly SubjectFolder[]
  readonly prompts: PromptBook
  readonly request: EvaluationRequest
  readonly journal: Journal
  /** Where the journal lies and pictures go. */
  readonly reportFolder: string
  readonly signal?: AbortSignal
  readonly onProgress?: (label: string, share: number) => void
}

/**
 * Draws what the journal lacks and measures everything. Goes on where an earlier run stopped and ends in the same
 * report. Throws InvalidInput, ImageError, TextError or SubjectFolderError for what can't be drawn, before anything
 * is; the signal's reason when it is aborted.
 */
export async function evaluate(evaluation: Evaluation): Promise<Report> {
  const { bundle, tools, folders, prompts, request, signal, onProgress } = evaluation
  const units = drawUnits(folders, prompts, request)
  const requests = units.map((unit) => requestOf(unit, request, bundle.settings))
  const subjects = new Map<string, Subject>()
  for (const [index, folder] of folders.entries()) {
    signal?.throwIfAborted()
    onProgress?.(`reading ${folder.name}`, index / folders.length)
    subjects.set(folder.name, await openSubject(folder, request.sizePx, tools.segmentation))
  }
  const records = await drawMissing(evaluation, units, requests, subjects)
  const references = await embedReferences(folders, tools.metrics, signal, onProgress)
  const results = await measureAll(units, records, folders, references, evaluation)
  const names = folders.map(({ name }) => name)
  return reportOf({
    settings: settingsOf(request, bundle, requests),
    subjects: folders.map(describe),
    summary: summarise(results, names, request.methods),
    chance: chanceOf(folders, prompts),
    results,
  })
}

const taskOf = { context: 'recontextualize', texture: 'retexture' } as const

function requestOf(unit: Unit, { steps, sampler }: EvaluationRequest, settings: Settings): CompleteRequest {
  const { prompt, kind, method, seed, count } = unit
  const chosen = { ...(steps === undefined ? {} : { steps }), ...(sampler === undefined ? {} : { sampler }) }
  return completeRequest({ prompt, task: taskOf[kind], method, seed, count, ...chosen }, settings)
}

async function openSubject(folder: SubjectFolder, sizePx: number, segmentation: Segmentation | null): Promise<Subject> {
  const [first] = folder.photos
  const { path, maskPath } = first!
  const files = {
    photo: await readPicture(path),
    mask: maskPath === null ? null : await readPicture(maskPath),
    label: folder.label,
  }
  return atPath(path, () => readSubject(files, sizePx, segmentation))
}

/** The records of all units, in their order. */
async function drawMissing(
  { bundle, tools, journal, reportFolder, signal, onProgress }: Evaluation,
  units: readonly Unit[],
  requests: readonly CompleteRequest[],
  subjects: ReadonlyMap<string, Subject>,
): Promise<JournalRecord[]> {
  const records: JournalRecord[] = []
  for (const [index, unit] of units.entries()) {
    signal?.throwIfAborted()
    const subject = subjects.get(unit.subject)!
    const completed = requests[index]!
    const key = unitKey(bundle.identity, subject, completed)
    const known = journal.records.get(key)
    if (known && (await arePresent(known, reportFolder))) {
      records.push(known)
      continue
    }
    const label = `evaluating ${unit.subject}, ${unit.promptKey}, ${unit.method}`
    const onStep = (share: number) => onProgress?.(label, (index + share) / units.length)
    onStep(0)
    const target = { folder: reportFolder, key, bundle: bundle.name, onStep, ...(signal ? { signal } : {}) }
    const record = await drawUnit(tools, subject, unit, completed, target)
    await journal.append(record)
    records.push(record)
  }
  return records
}

async function arePresent({ pictures }: JournalRecord, folder: string): Promise<boolean> {
  const found = await Promise.allSettled(pictures.map(({ file }) => access(join(folder, file))))
  return found.every(({ status }) => status === 'fulfilled')
}

async function embedReferences(
  folders: readonly SubjectFolder[],
  metrics: Metrics,
  signal: AbortSignal | undefined,
  onProgress: Evaluation['onProgress'],
): Promise<References> {
  const references = new Map<string, PictureEmbeddings[]>()
  for (const [index, { name, photos }] of folders.entries()) {
    onProgress?.(`measuring ${name}`, index / folders.length)
    const embeddings: PictureEmbeddings[] = []
    for (const { path } of photos) {
      signal?.throwIfAborted()
      const photo = await atPath(path, async () => decodeImage(await readPicture(path)))
      embeddings.push(await metrics.picture(photo))
    }
    references.set(name, embeddings)
  }
  return references
}

async function measureAll(
  units: readonly Unit[],
  records: readonly JournalRecord[],
  folders: readonly SubjectFolder[],
  references: References,
  { tools, prompts, signal }: Evaluation,
): Promise<Result[]> {
  const texts = new Map<string, Map<string, Float32Array>>()
  for (const { name, label, class: subjectClass } of folders) {
    for (const kind of promptKinds) {
      signal?.throwIfAborted()
      const templates = prompts(subjectClass)[kind]
      const vectors = await tools.metrics.texts(templates.map((template) => fillPrompt(template, label)))
      texts.set(`${kind} ${name}`, new Map(templates.map(({ key }, index) => [key, vectors[index]!])))
    }
  }
  return units.flatMap(({ subject, kind, promptKey, prompt, method }, index) =>
    records[index]!.pictures.map(({ seed, file, dino, clip, maskIou }): Result => {
      const embeddings = { dino: unpackVector(dino), clip: unpackVector(clip) }
      const measures = measure(
        { embeddings, subject, promptKey, maskIou },
        references,
        texts.get(`${kind} ${subject}`)!,
      )
      return { subject, kind, promptKey, prompt, method, seed, file, measures }
    }),
  )
}

function settingsOf(
  request: EvaluationRequest,
  { name, rehearsal, settings }: EvaluatedBundle,
  requests: readonly CompleteRequest[],
): EvaluationSettings {
  const { seed, methods, promptsPerKind, count, sizePx } = request
  const { sampler, steps, guidance } = requests[0]!
  const { recontextualize: context, retexture: texture } = settings.strength
  const strength = { context, texture }
  return { bundle: name, rehearsal, seed, promptsPerKind, count, sizePx, sampler, steps, guidance, strength, methods }
}

function describe({ name, label, class: subjectClass, photos }: SubjectFolder): ReportSubject {
  return {
    name,
    label,
    class: subjectClass,
    photos: photos.length,
    mask: photos[0]!.maskPath === null ? 'found' : 'given',
  }
}

function chanceOf(folders: readonly SubjectFolder[], prompts: PromptBook): Partial<Record<MetricName, number>> {
  const guess = (kind: PromptKind) => mean(folders.map((folder) => 1 / prompts(folder.class)[kind].length))
  return {
    placeRecognised: guess('context') ?? 0,
    textureRecognised: guess('texture') ?? 0,
    ...(folders.length > 1 ? { thingRecognised: 1 / folders.length } : {}),
  }
}
