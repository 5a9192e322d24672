/** Node 24 strips the types itself; jest's vm sandbox would give onnxruntime foreign typed arrays, the light runner has none. */
export default {
  runner: 'jest-light-runner',
  transform: {},
  testMatch: ['**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  maxWorkers: 2,
}
