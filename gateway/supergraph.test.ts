import { readFileSync } from 'node:fs'
import { composeSupergraph, supergraphPath } from './compose.ts'
import { subgraphs } from './subgraphs.ts'

test('the committed supergraph is what the services’ schemas make', () => {
  expect(readFileSync(supergraphPath, 'utf8')).toBe(composeSupergraph(subgraphs))
})

test('schemas that contradict each other don’t compose', () => {
  const [generation, safety] = subgraphs
  const other = { ...safety!, typeDefs: safety!.typeDefs.replace('left: Float!', 'left: String!') }
  expect(() => composeSupergraph([generation!, other])).toThrow(/the subgraphs don't compose:\n.*Region\.left/s)
})
