// The TypeScript side of `npm run bench`, in a process of its own: moma-side.ts <bundle> <steps> <threads> <folder>
// Reads photo.png and mask.png, writes exchange.safetensors (what the Python side starts from, and the results) and moma.json.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { encodeInstruction } from '../../services/context/instruction.ts'
import { createTorchGenerator } from '../../services/denoise/noise/torch-generator.ts'
import { subjectPrompt, subjectTokenPositions } from '../../services/denoise/subject-tokens.ts'
import { openLocalServices } from '../../services/generation/local-services.ts'
import { createPipeline, featureBytes } from '../../services/generation/pipeline.ts'
import { completeRequest } from '../../services/generation/request.ts'
import { readSubject } from '../../services/generation/subject.ts'
import { openBundle } from '../../services/lib/bundles/bundles.ts'
import { createContentCache } from '../../services/lib/content-cache.ts'
import { toEncoderPlanes, toMaskPlane } from '../../services/lib/images/geometry.ts'
import { resizeNearest } from '../../services/lib/images/resize.ts'
import { createMeasuredPool } from '../../services/lib/runtime/measured-pool.ts'
import type { FloatTensor } from '../../services/lib/runtime/tensor.ts'
import { openClipTokenizer } from '../../services/lib/tokenizers/clip.ts'
import { openLlamaTokenizer } from '../../services/lib/tokenizers/llama.ts'
import { writeSafetensors } from '../../services/lib/weights/write-safetensors.ts'
import { readClipVisionConfig } from '../../services/vision/clip-vision.ts'
import { clipPixels } from '../../services/vision/vision.ts'

const [bundleName = '', steps = '', threads = '', folder = ''] = process.argv.slice(2)
const label = 'toy'
const prompt = 'a toy in a green garden with spring flowers'
const seed = 7

const bundle = await openBundle(bundleName)
const { settings } = bundle.manifest
const pool = createMeasuredPool({ provider: 'cpu', threads: Number(threads), memoryBytes: 6 * 2 ** 30 })
const services = await openLocalServices(bundle, pool)
let embedding: FloatTensor | undefined
let patches = 0
const context = {
  contextEmbedding: async (request: Parameters<typeof services.context.contextEmbedding>[0]) => {
    embedding = await services.context.contextEmbedding(request)
    patches = request.features.shape[1]!
    return embedding
  },
}
const pipeline = createPipeline({ ...services, context }, settings, createContentCache(2 ** 28, featureBytes))
const read = (name: string) => readFile(join(folder, name))
const subject = await readSubject(
  { photo: await read('photo.png'), mask: await read('mask.png'), label },
  settings.sizePx,
  null,
)
const request = completeRequest({ prompt, steps: Number(steps), seed }, settings)

const delay = monitorEventLoopDelay({ resolution: 5 })
delay.enable()
const started = performance.now()
let latents: FloatTensor | undefined
let picture: Uint8Array | undefined
for await (const event of pipeline.generate(subject, request, { checkpointEverySteps: 1 })) {
  if (event.kind === 'checkpoint') latents = event.state.latents
  if (event.kind === 'image') picture = event.image.pixels
}
const wholeMs = performance.now() - started
delay.disable()
const { costs } = pool
await pool.dispose()

// A second prompt for the same subject, and what it runs, is shown by the tests; here only the first is timed.
const tokenizer = await openClipTokenizer(join(bundle.folder, bundle.manifest.tokenizers.clip.folder))
const text = subjectPrompt(label, prompt)
const llama = await openLlamaTokenizer(join(bundle.folder, bundle.manifest.tokenizers.llama.folder))
const instruction = encodeInstruction(llama, label, prompt, patches)
const tokens = instruction.before.length + patches + instruction.after.length
const clipVision = readClipVisionConfig(bundle.manifest.networks.clipVision.config, 'clipVision')
const clip = await clipPixels(subject.onWhite, clipVision.imageSize)
const { sizePx } = settings
const side = sizePx / 8
const count = services.latentChannels * side * side
const noise = createTorchGenerator(0)
const rule = settings.subjectTokens === 'firstOfWord' ? 'first-token' : 'all-tokens'
const floats = (name: string, shape: number[], numbers: Float32Array) => ({
  name,
  dtype: 'float32' as const,
  shape,
  chunks: [new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength)],
})
const ids = (name: string, numbers: readonly number[], shape = [1, numbers.length]) => ({
  name,
  dtype: 'int64' as const,
  shape,
  chunks: [new Uint8Array(BigInt64Array.from(numbers, BigInt).buffer)],
})
await writeSafetensors(join(folder, 'exchange.safetensors'), [
  floats('reference', [1, 3, sizePx, sizePx], toEncoderPlanes(subject.reference)),
  floats('mask', [1, 1, side, side], toMaskPlane(resizeNearest(subject.mask, side, side))),
  floats('sample_noise', [1, services.latentChannels, side, side], noise.randn(count)),
  floats('timestep_noise', [1, services.latentChannels, side, side], noise.randn(count)),
  floats('latents', [1, services.latentChannels, side, side], createTorchGenerator(seed).randn(count)),
  floats('embedding', [...embedding!.shape], embedding!.data.slice()),
  ids('noun_ids', tokenizer.encode(label).ids),
  ids('prompt_ids', [...tokenizer.encode('').ids, ...tokenizer.encode(text).ids], [2, tokenizer.length]),
  ids('positions', subjectTokenPositions(tokenizer, label, text, rule)),
  floats('clip_pixels', clip.shape.slice(), clip.data.slice()),
  ids('decoder_tokens', [tokens], [1]),
  floats('result.latents', [...latents!.shape], latents!.data.slice()),
])
const { maxRSS } = process.resourceUsage()
const result = {
  steps: request.steps,
  wholeMs,
  longestBlockMs: delay.max / 1e6,
  peakBytes: maxRSS * 1024,
  costs,
  pictureBytes: picture!.length,
}
await writeFile(join(folder, 'moma.json'), JSON.stringify(result, null, 2))
