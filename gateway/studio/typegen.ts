// Types and texts of the studio's operations, from the schema that clients see.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { codegen } from '@graphql-codegen/core'
import * as typedDocuments from '@graphql-codegen/typed-document-node'
import * as operationTypes from '@graphql-codegen/typescript-operations'
import { parse, printSchema } from 'graphql'
import { silentLogger } from '../../services/lib/mesh/log.ts'
import { loadSupergraph } from '../supergraph.ts'

/** The module that `src/operations.graphql` makes. Throws where an operation asks for what the schema has not. */
export async function generateOperations(): Promise<string> {
  const location = join(import.meta.dirname, 'src/operations.graphql')
  return codegen({
    filename: 'operations.ts',
    schema: parse(printSchema(loadSupergraph(silentLogger).schema)),
    documents: [{ location, document: parse(readFileSync(location, 'utf8')) }],
    config: {
      documentMode: 'string',
      enumsAsTypes: true,
      useTypeImports: true,
      nonOptionalTypename: false,
      inlineFragmentTypes: 'combine',
      scalars: { DateTime: 'string', Seed: 'number' },
    },
    plugins: [{ operations: {} }, { documents: {} }],
    pluginMap: { operations: operationTypes, documents: typedDocuments },
  })
}
