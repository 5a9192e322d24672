import { manifestOf } from '../../test/hub/bundle.ts'
import { parseManifest } from '../lib/bundles/manifest.ts'
import { chooseMethods } from './methods.ts'

const network = { config: {}, files: ['a.bin'], compute: 'float32' }
/** A manifest with these networks besides the required ones. */
function manifestWith(...names: string[]) {
  const { networks, ...rest } = manifestOf()
  return parseManifest(
    { ...rest, networks: { ...Object(networks), ...Object.fromEntries(names.map((name) => [name, network])) } },
    'm',
  )
}

test.each([
  [[], ['moma', 'no-mask', 'no-subject']],
  [['vitH'], ['moma', 'no-mask', 'no-subject', 'no-mllm']],
  [['ipAdapter'], ['moma', 'no-mask', 'no-subject']],
  [
    ['vitH', 'ipAdapter'],
    ['moma', 'ip-adapter', 'no-mask', 'no-subject', 'no-mllm'],
  ],
])('with %j a bundle draws by %j', (names, methods) => {
  expect(chooseMethods(manifestWith(...names), undefined)).toEqual(methods)
})

test('methods asked for come once each in their usual order; one that the bundle has no networks for is refused', () => {
  expect(chooseMethods(manifestWith(), ['no-mask', 'moma', 'no-mask'])).toEqual(['moma', 'no-mask'])
  expect(() => chooseMethods(manifestWith(), ['moma', 'ip-adapter'])).toThrow(
    'methods is "ip-adapter", allowed is what this bundle has networks for: moma, no-mask, no-subject',
  )
})
