import {
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLCompositeType,
  type GraphQLField,
  type GraphQLSchema,
  getNamedType,
  isCompositeType,
  isInterfaceType,
  isListType,
  isNonNullType,
  isObjectType,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql'

/** What a list without `first` is counted as: a generation has at most 8 pictures, a verdict a few findings. */
const assumedLength = 8
/** What a page counts as whose `first` is not a number the service takes; it refuses such a page. */
const longestPage = 100
/** An introspection answers with the whole schema. */
const introspectionCost = 1000

/**
 * How many objects an operation can be answered with at most: each object counts 1, a list its length, a page its
 * `first`; scalars come with their object. `variables` as they were sent or coerced.
 */
export function operationCost(
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode,
  variables: Readonly<Record<string, unknown>>,
): number {
  const fragments = new Map<string, FragmentDefinitionNode>()
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition)
  }
  const costs = new Map<string, number>()

  const ofFragment = (name: string, paged: boolean): number => {
    const key = `${name} ${paged}`
    const known = costs.get(key)
    if (known !== undefined) return known
    const fragment = fragments.get(name)
    const type = fragment && schema.getType(fragment.typeCondition.name.value)
    const cost = fragment && isCompositeType(type) ? ofSelection(fragment.selectionSet, type, paged) : 0
    costs.set(key, cost)
    return cost
  }

  const ofField = (node: FieldNode, parent: GraphQLCompositeType, paged: boolean): number => {
    if (node.name.value === '__schema' || node.name.value === '__type') return introspectionCost
    const field = isObjectType(parent) || isInterfaceType(parent) ? parent.getFields()[node.name.value] : undefined
    const type = field && getNamedType(field.type)
    if (!field || !isCompositeType(type) || !node.selectionSet) return 0
    const isPage = field.args.some(({ name }) => name === 'first')
    const one = 1 + ofSelection(node.selectionSet, type, isPage)
    if (isPage) return one * pageLength(node, field, variables)
    // The lists of a page are as long as the page, which was counted where it was asked for.
    return isList(field) && !paged ? one * assumedLength : one
  }

  const ofSelection = ({ selections }: SelectionSetNode, type: GraphQLCompositeType, paged: boolean): number => {
    let cost = 0
    for (const selection of selections) {
      if (selection.kind === Kind.FIELD) {
        cost += ofField(selection, type, paged)
      } else if (selection.kind === Kind.FRAGMENT_SPREAD) {
        cost += ofFragment(selection.name.value, paged)
      } else {
        const narrowed = selection.typeCondition ? schema.getType(selection.typeCondition.name.value) : type
        cost += ofSelection(selection.selectionSet, isCompositeType(narrowed) ? narrowed : type, paged)
      }
    }
    return cost
  }

  const root = schema.getRootType(operation.operation)
  return root ? ofSelection(operation.selectionSet, root, false) : 0
}

function pageLength(
  node: FieldNode,
  field: GraphQLField<unknown, unknown>,
  variables: Readonly<Record<string, unknown>>,
): number {
  const given = node.arguments?.find(({ name }) => name.value === 'first')?.value
  const standard = field.args.find(({ name }) => name === 'first')?.defaultValue
  const first =
    given === undefined || given.kind === Kind.NULL
      ? standard
      : given.kind === Kind.VARIABLE
        ? (variables[given.name.value] ?? standard)
        : given.kind === Kind.INT
          ? Number(given.value)
          : undefined
  return typeof first === 'number' && first >= 0 && first <= longestPage ? first : longestPage
}

const isList = ({ type }: GraphQLField<unknown, unknown>) => isListType(isNonNullType(type) ? type.ofType : type)
