import { statSync } from 'node:fs'
import type { Recipe } from './recipe.ts'

/** A network that its publisher has exported as an ONNX file, in the place of a graph that is built. */
export interface ModelFile {
  /** Absolute. Weights that are kept outside lie beside it. */
  readonly modelFile: string
  readonly weightBytes: number
}

/** The recipe of a published `.onnx` file; `file` is absolute. */
export function modelFileRecipe(name: string, file: string): Recipe {
  return { name, module: import.meta.url, builder: openModelFile.name, args: [file] }
}

/** Throws where there is no such file. */
export function openModelFile(file: string): ModelFile {
  // The weights are all but the whole of an exported file.
  return { modelFile: file, weightBytes: statSync(file).size }
}

export function isModelFile(made: object): made is ModelFile {
  return 'modelFile' in made
}
