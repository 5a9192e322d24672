/** Node 24 strips the types itself; jest's vm sandbox would give onnxruntime foreign typed arrays, the light runner has none. */
export default {
  // Not in threads: databases that come and go in several threads of a process can make V8 end it (nodejs/node#64500).
  runner: 'jest-light-runner/child-process',
  transform: {},
  testMatch: ['**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  maxWorkers: 2,
}
