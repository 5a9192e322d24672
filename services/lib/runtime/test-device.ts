import { readFileSync } from 'node:fs'
import { type Backend, InferenceSession, registerBackend } from 'onnxruntime-node'
import type { Graph } from '../graph/build.ts'
import type { ExecutionProvider } from './recipe.ts'
import { scaled } from './test-networks.ts'

// A GPU for tests on machines without one: a provider behind which, in the thread of these networks, is the processor.

export const testProvider = 'test device' as ExecutionProvider

/** What a file says that the device does: it fails as CUDA does after an error that stays, or from the first kernel on. */
export type DeviceState = 'computes' | 'fails at everything' | 'fails at runs'

/** `scaled` on the device that the file speaks of, where it can't take what is no number. */
export function onDevice(stateFile: string, factor: number, file: string, size: number): Graph {
  place = stateFile
  registerBackend(testProvider, device, 1)
  return scaled(factor, file, size)
}

let place = ''
const state = () => readFileSync(place, 'utf8') as DeviceState
const fault = () => new Error('CUDA failure 700: an illegal memory access was encountered')

const device: Backend = {
  init: async () => undefined,
  async createInferenceSessionHandler(model, options) {
    if (state() === 'fails at everything') throw fault()
    const session = await InferenceSession.create(model as Uint8Array, { ...options, executionProviders: ['cpu'] })
    const { inputNames, outputNames, inputMetadata, outputMetadata } = session
    return {
      inputNames,
      outputNames,
      inputMetadata,
      outputMetadata,
      startProfiling: () => undefined,
      endProfiling: () => undefined,
      dispose: () => session.release(),
      async run(feeds) {
        if (state() !== 'computes') throw fault()
        const { data } = feeds.x as { readonly data: Float32Array }
        if (Number.isNaN(data[0])) throw new Error('Non-zero status code returned while running Gather node')
        return session.run(feeds)
      },
    }
  },
}
