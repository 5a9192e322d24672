import { animalClasses, type PromptBook, paperTextures, templatesOf } from './prompts.ts'

/** What DreamBooth's `prompts_and_classes.txt` says. */
export interface DreamBoothFile {
  /** Class by the subject's folder. */
  readonly classes: ReadonlyMap<string, string>
  /** Its prompts with MoMA's materials; null where the file has no prompts. */
  readonly prompts: PromptBook | null
}

/**
 * Reads DreamBooth's list: lines `folder,class`, then Python lists of `'a {0} {1} in the jungle'.format(…)`, first for
 * things, then, after a heading with the word "live", for animals. Lines of any other form are passed over.
 */
export function parseDreamBoothFile(content: string): DreamBoothFile {
  const classes = new Map<string, string>()
  const sentences = { objects: new Set<string>(), animals: new Set<string>() }
  let list: keyof typeof sentences = 'objects'
  for (const line of content.split(/\r?\n/).map((one) => one.trim())) {
    const [, prompt] = /^['"](.+)['"]\s*\.format\(/.exec(line) ?? []
    const [, folder, subjectClass] = /^([\w-]+)\s*,\s*([A-Za-z][A-Za-z ]*)$/.exec(line) ?? []
    if (prompt?.includes('{1}')) sentences[list].add(prompt.replace(/(\{0\} )?\{1\}/, '{label}'))
    else if (folder && subjectClass && folder !== 'subject_name') classes.set(folder, subjectClass)
    else if (/\blive\b/i.test(line)) list = 'animals'
  }
  const objects = templatesOf([...sentences.objects])
  const animals = templatesOf([...sentences.animals])
  if (objects.length === 0) return { classes, prompts: null }
  const contextOf = (subjectClass: string) =>
    animals.length > 0 && animalClasses.includes(subjectClass) ? animals : objects
  return { classes, prompts: (subjectClass) => ({ context: contextOf(subjectClass), texture: paperTextures }) }
}
