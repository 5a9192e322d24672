// A process of its own, so that what a driver prints or dies of stays here: exit code 0 if the provider computes.
import { probe } from './probe.ts'
import { isExecutionProvider } from './recipe.ts'

const provider = process.argv[2]
if (!isExecutionProvider(provider)) throw new RangeError(`provider is ${provider}`)
process.exit((await probe(provider)) ? 0 : 1)
