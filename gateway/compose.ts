// npm run compose: writes gateway/supergraph.graphql from the services' schemas; with --check it only compares.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { composeServices } from '@apollo/composition'
import { parse } from 'graphql'
import { type Subgraph, subgraphs } from './subgraphs.ts'

export const supergraphPath: string = join(import.meta.dirname, 'supergraph.graphql')

/** The supergraph of these subgraphs. Throws what keeps them from being one. */
export function composeSupergraph(parts: readonly Subgraph[]): string {
  // The subgraphs run in the gateway's process: their addresses only name them.
  const services = parts.map(({ name, typeDefs }) => ({ name, url: `local:${name}`, typeDefs: parse(typeDefs) }))
  const { supergraphSdl, errors } = composeServices(services)
  if (errors) throw new Error(`the subgraphs don't compose:\n${errors.map(({ message }) => message).join('\n')}`)
  return `# Composed by "npm run compose" from services/*/schema.graphql.\n${supergraphSdl.trimEnd()}\n`
}

if (import.meta.main) {
  const supergraph = composeSupergraph(subgraphs)
  if (!process.argv.includes('--check')) {
    writeFileSync(supergraphPath, supergraph)
  } else if (readFileSync(supergraphPath, 'utf8') !== supergraph) {
    console.error('gateway/supergraph.graphql is not what the schemas of the services make; run npm run compose')
    process.exitCode = 1
  }
}
