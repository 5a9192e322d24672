import { writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { type Command, Option } from 'commander'
import { openBundle } from '../services/lib/bundles/bundles.ts'
import { defaultBundle } from '../services/lib/bundles/default-bundle.ts'
import { readConfig } from '../services/lib/mesh/config.ts'
import { createNetworkPool } from '../services/lib/runtime/pool.ts'
import { safetyShape } from '../services/safety/config.ts'
import { type CaseSet, rowOf, worstCases } from '../services/safety/evaluation/evaluation.ts'
import { judgePictures, type PictureGate } from '../services/safety/evaluation/picture-cases.ts'
import { judgePrompts } from '../services/safety/evaluation/prompt-cases.ts'
import { htmlPage, textTable } from '../services/safety/evaluation/report.ts'
import { openSafety } from '../services/safety/open.ts'
import type { Safety } from '../services/safety/safety.ts'
import { readPromptSets } from '../services/safety/testing/prompt-sets.ts'
import { exitCodes } from './codes.ts'
import { InputFileError } from './input-file-error.ts'
import { bytesOption, wholeOption } from './options.ts'
import { createProgress } from './progress.ts'

interface EvaluateOptions {
  readonly bundle: string
  readonly pictures?: string
  readonly gate: PictureGate
  readonly prompts: string | boolean
  readonly html?: string
  readonly worst: number
  readonly threads: number
  readonly memory: number
  readonly json?: boolean
}

export function addSafety(program: Command): void {
  const safety = program
    .command('safety')
    .summary('the safety service: how well it judges')
    .description('The judge of subjects, prompts and pictures; docs/safety.md has its rules.')
  safety
    .command('evaluate')
    .description(
      'judges sets of texts and pictures and prints how many were judged as expected, with 95 % intervals (Wilson). ' +
        'MOMA_SAFETY_POLICY names another policy, MOMA_SAFETY_REQUIRE judges that must be there. Exit codes: 0 all texts were ' +
        'judged as expected, however many pictures were, 1 a text was not, 2 a wrong option or input',
    )
    .option('--bundle <name>', 'whose networks see (moma models list)', process.env.MOMA_BUNDLE || defaultBundle)
    .option(
      '--pictures <dir>',
      'folder with person/ and things/; NAME.mask.png beside a picture is its mask, else its transparency, else all of it is subject',
    )
    .addOption(
      new Option('--gate <name>', 'whether pictures are judged as subjects or as finished pictures')
        .choices(['subject', 'picture'])
        .default('subject'),
    )
    .option('--prompts <file>', "prompt sets as JSON (the project's own if not said)")
    .option('--no-prompts', 'pictures alone')
    .option('--html <file>', 'writes a page with the worst cases and their pictures')
    .option('--worst <n>', 'cases on the page', wholeOption(1, 500), 60)
    .option('--threads <n>', 'threads of arithmetic', wholeOption(1, 256), availableParallelism())
    .option('--memory <bytes>', 'weights kept loaded at once', bytesOption, 4 * 2 ** 30)
    .option('--json', 'as JSON')
    .action(evaluate)
}

async function evaluate(options: EvaluateOptions): Promise<void> {
  const { MOMA_SAFETY_POLICY, MOMA_SAFETY_REQUIRE } = readConfig(safetyShape, process.env)
  const bundle = await openBundle(options.bundle)
  const pool = createNetworkPool({ provider: 'cpu', threads: options.threads, memoryBytes: options.memory })
  const progress = createProgress(process.stderr, { quiet: options.json === true, previews: false })
  try {
    const opened = await openSafety(bundle, pool, { policyFile: MOMA_SAFETY_POLICY, require: MOMA_SAFETY_REQUIRE })
    const sets = await judgeAll(opened.safety, options, bundle.manifest.settings.sizePx, (done, count) =>
      progress.update(`picture ${done} of ${count}`, done / count),
    )
    progress.done()
    const rows = [...sets, ...totalsOf(sets)].map(rowOf)
    const policyVersion = await versionOf(opened.safety)
    if (options.html) {
      const page = await htmlPage(rows, worstCases(sets, options.worst), policyVersion)
      await writeFile(options.html, page).catch((error: NodeJS.ErrnoException) => {
        throw new InputFileError(`${options.html} can't be written (${error.code})`)
      })
    }
    const wrong = sets.flatMap(({ cases }) => cases.filter(({ right }) => !right))
    // Of pictures a share is judged wrong; how large it may be is for whoever reads the table.
    if (wrong.some(({ picture }) => picture === null)) process.exitCode = exitCodes.fault
    if (options.json) {
      const cases = wrong.map(({ name, expected, verdict, error }) => ({ name, expected, verdict, error }))
      process.stdout.write(`${JSON.stringify({ policyVersion, judges: opened.judges, sets: rows, wrong: cases })}\n`)
      return
    }
    const lines = wrong.map(
      ({ name, expected, verdict, error }) =>
        `${JSON.stringify(name)}: expected ${expected}, got ${verdict?.decision ?? `no verdict (${error})`}`,
    )
    process.stdout.write(`${[`policy ${policyVersion}`, textTable(rows), ...lines].join('\n')}\n`)
  } finally {
    progress.done()
    await pool.dispose()
  }
}

async function judgeAll(
  safety: Safety,
  { pictures, gate, prompts }: EvaluateOptions,
  sizePx: number,
  onCase: (done: number, count: number) => void,
): Promise<CaseSet[]> {
  const promptFile = typeof prompts === 'string' ? prompts : undefined
  const promptSets = prompts === false ? [] : await judgePrompts(safety, readPromptSets(promptFile))
  const pictureSets = pictures ? await judgePictures(safety, { folder: pictures, gate, sizePx, onCase }) : []
  return [...promptSets, ...pictureSets]
}

/** All sets of which a refusal is expected, and all others, as sets of their own. */
function totalsOf(sets: readonly CaseSet[]): CaseSet[] {
  if (sets.length < 2) return []
  const cases = sets.flatMap((set) => set.cases)
  const isThing = (expected: string) => expected === 'ALLOWED'
  return [
    { name: 'all that is to be refused', cases: cases.filter(({ expected }) => !isThing(expected)) },
    { name: 'all that is to be allowed', cases: cases.filter(({ expected }) => isThing(expected)) },
  ].filter((total) => total.cases.length > 0)
}

async function versionOf(safety: Safety): Promise<string> {
  const { policyVersion } = await safety.reviewPrompt({ label: 'dog', prompt: '', negativePrompt: '' })
  return policyVersion
}
