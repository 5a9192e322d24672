import { type Eyes, judgesOf } from './eyes/eyes.ts'
import { decides, type Observation, verdictOf } from './observation.ts'
import { reviewDrawn } from './picture-gate.ts'
import type { SafetyPolicy } from './policy/policy.ts'
import type { Finding, Safety } from './safety.ts'
import { reviewPhoto } from './subject-gate.ts'
import { createWordJudge } from './words/judge-words.ts'
import { readLexicon } from './words/lexicon.ts'

/** Of what isn't worth a network: nothing is looked at once words have decided. */
const wordless: Eyes = {}

/**
 * The judge by a policy, with the eyes that there are. Verdicts say who judged: `moma-4/words+person-detector`. Words
 * come first, and a network looks only at what they let through. Throws a ConfigError for a word list that is wrong.
 */
export function createJudge(policy: SafetyPolicy, eyes: Eyes = wordless): Safety {
  const words = createWordJudge(readLexicon(policy.words.languages), policy.words)
  const policyVersion = `${policy.version}/${judgesOf(eyes).join('+')}`
  return {
    async reviewSubject({ reference, mask, label }, signal) {
      const said = words.judgeLabel(label, 'SUBJECT').map(fromWords)
      const seen = decides(said) ? [] : await reviewPhoto({ reference, mask }, eyes, policy.subject, signal)
      return verdictOf([...said, ...seen], policyVersion)
    },
    // What the picture shall not show may well be people.
    async reviewPrompt({ label, prompt, stage = 'PROMPT' }) {
      const said = [...words.judgeLabel(label, stage), ...words.judgePrompt(prompt, label)]
      return verdictOf(said.map(fromWords), policyVersion)
    },
    async reviewPicture({ picture }, signal) {
      return verdictOf(await reviewDrawn(picture, eyes, policy.picture, signal), policyVersion)
    },
  }
}

function fromWords(finding: Finding): Observation {
  const isContent = finding.detector === 'words/sexual' || finding.detector === 'words/minor'
  return { ...finding, decides: isContent ? 'REJECTED_CONTENT' : 'REJECTED_PERSON' }
}
