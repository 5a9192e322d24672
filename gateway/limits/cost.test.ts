import { type OperationDefinitionNode, parse } from 'graphql'
import { silentLogger } from '../../services/lib/mesh/log.ts'
import { loadSupergraph } from '../supergraph.ts'
import { operationCost } from './cost.ts'

const { schema } = loadSupergraph(silentLogger)

function cost(query: string, variables: Record<string, unknown> = {}): number {
  const document = parse(query)
  return operationCost(schema, document, document.definitions[0] as OperationDefinitionNode, variables)
}

test.each([
  ['scalars come with their object', '{ capabilities { bundle sizePx } }', 1],
  ['objects in objects', '{ capabilities { limits { count } defaults { steps } } }', 3],
  ['a page is its length, its connection and nodes counted each time', '{ subjects(first: 10) { nodes { id } } }', 20],
  ['20 where nothing is said', '{ subjects { nodes { id } } }', 40],
  ['20 for null', '{ subjects(first: null) { nodes { id } } }', 40],
  ['100 for what is no page', '{ subjects(first: -5) { nodes { id } } }', 200],
  ['100 for what is no number', '{ subjects(first: "x") { nodes { id } } }', 200],
  ['edges with their nodes', '{ subjects(first: 10) { edges { node { id } } } }', 30],
  ['8 for a list without pages', '{ generation(id: 1) { images { url } } }', 9],
  [
    'pages in pages',
    '{ subjects(first: 10) { nodes { generations(first: 10) { nodes { id } } } } }',
    10 * (2 + 10 * 2),
  ],
  ['aliases each', '{ a: capabilities { bundle } b: capabilities { bundle } }', 2],
  ['an introspection', '{ __schema { types { name } } }', 1000],
  ['the name of a type', '{ __typename }', 0],
])('%s: %s', (_, query, expected) => {
  expect(cost(query)).toBe(expected)
})

test('variables count as what they are, or as their standard', () => {
  const query = 'query ($n: Int) { subjects(first: $n) { nodes { id } } }'
  expect([cost(query, { n: 3 }), cost(query), cost(query, { n: 1000 })]).toEqual([6, 40, 200])
})

test('a fragment counts wherever it is spread, inside a page and outside', () => {
  const query = `query { subjects(first: 2) { ...Page } again: subjects(first: 3) { ...Page } }
    fragment Page on SubjectConnection { nodes { ... on Subject { image { url } } } }`
  expect(cost(query)).toBe(2 * 3 + 3 * 3)
})

test('fragments that double at each level are counted once each: this would not end otherwise', () => {
  const levels = Array.from(
    { length: 60 },
    (_, k) => `fragment F${k} on Generation { a: subject { generations(first: 1) { nodes { ...F${k + 1} } } }
      b: subject { generations(first: 1) { nodes { ...F${k + 1} } } } }`,
  )
  const query = `query { generation(id: 1) { ...F0 } } ${levels.join('\n')} fragment F60 on Generation { id }`
  expect(cost(query)).toBeGreaterThan(2 ** 60)
})
