import { type BundlePlaces, bundlePlaces, bundleState, openBundle } from '../../services/lib/bundles/bundles.ts'
import { defaultBundle } from '../../services/lib/bundles/default-bundle.ts'
import { BundleError } from '../../services/lib/bundles/errors.ts'

/** Drawn with where nothing else is said, the first that is complete; the last one always is. */
const defaults = [defaultBundle, 'moma-toy'] as const

export interface ChosenBundle {
  readonly name: string
  /** One sentence about its pictures, where there is something to know. */
  readonly note: string | null
}

/** The bundle of MOMA_BUNDLE, or the default that is there. Throws a BundleError where the named one is missing or incomplete. */
export async function chooseBundle(env: NodeJS.ProcessEnv, places = bundlePlaces(env)): Promise<ChosenBundle> {
  const name = env.MOMA_BUNDLE || (await findDefault(places))
  const bundle = await openBundle(name, places)
  const state = await bundleState(bundle)
  switch (state.kind) {
    case 'ready':
      return {
        name,
        note: name === 'moma-toy' ? 'moma-toy is a bundle of random numbers: its pictures are noise.' : null,
      }
    case 'rehearsal':
      return { name, note: `${name} is a rehearsal, its weights are random numbers: its pictures are noise.` }
    case 'damaged':
      throw new BundleError('manifest', state.reason)
    default: {
      const remedy = bundle.manifest.sources
        ? `Fetch them: moma models pull ${name}`
        : `They belong into ${bundle.folder}.`
      throw new BundleError('notPulled', `The weights of ${name} are not all there. ${remedy}`)
    }
  }
}

async function findDefault(places: BundlePlaces): Promise<string> {
  for (const name of defaults) {
    const state = await openBundle(name, places).then(bundleState, () => null)
    if (state?.kind === 'ready') return name
  }
  throw new BundleError('notFound', `None of the bundles ${defaults.join(', ')} is there; set MOMA_BUNDLE.`)
}
