import {
  type ASTNode,
  type ASTVisitor,
  type DocumentNode,
  type FragmentDefinitionNode,
  GraphQLError,
  Kind,
  type SelectionSetNode,
  type ValidationContext,
  type ValidationRule,
} from 'graphql'
import { limits } from './limits.ts'

/** Validation rules beside those of the specification; they look at the document alone. */
export const limitRules: readonly ValidationRule[] = [limitDocument, limitShape]

export function tooMuch(message: string, node?: ASTNode): GraphQLError {
  return new GraphQLError(message, { ...(node ? { nodes: node } : {}), extensions: { code: 'LIMIT_EXCEEDED' } })
}

/** How many aliases and directives a document has. */
function limitDocument(context: ValidationContext): ASTVisitor {
  let aliases = 0
  let directives = 0
  return {
    Field({ alias }) {
      if (alias) aliases++
    },
    Directive() {
      directives++
    },
    Document: {
      leave() {
        for (const [name, count, most] of [
          ['aliases', aliases, limits.aliases],
          ['directives', directives, limits.directives],
        ] as const) {
          if (count > most) context.reportError(tooMuch(`the document has ${count} ${name}, allowed are ${most}`))
        }
      },
    },
  }
}

/** How deep operations are and how many root fields they have, with fragments where they are spread. */
function limitShape(context: ValidationContext): ASTVisitor {
  const measure = createMeasure(context.getDocument())
  return {
    OperationDefinition(operation) {
      const { depth, rootFields, fields } = measure(operation.selectionSet)
      const say = (what: string) => context.reportError(tooMuch(what, operation))
      if (depth > limits.depth) say(`the operation is ${depth} fields deep, allowed are ${limits.depth}`)
      if (fields > limits.fields) say(`the operation has ${fields} fields, allowed are ${limits.fields}`)
      if (rootFields > limits.rootFields) {
        say(`the operation has ${rootFields} root fields, allowed are ${limits.rootFields}`)
      }
    },
  }
}

interface Shape {
  readonly depth: number
  /** Of the selection itself. */
  readonly rootFields: number
  /** At all depths. */
  readonly fields: number
}

/** Each fragment is measured once, however often it is spread; one that spreads itself is another rule's to refuse. */
function createMeasure(document: DocumentNode): (selection: SelectionSetNode) => Shape {
  const fragments = new Map<string, FragmentDefinitionNode>()
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition)
  }
  const shapes = new Map<string, Shape>()

  const ofFragment = (name: string): Shape => {
    const known = shapes.get(name)
    if (known) return known
    shapes.set(name, nothing)
    const fragment = fragments.get(name)
    const shape = fragment ? measure(fragment.selectionSet) : nothing
    shapes.set(name, shape)
    return shape
  }
  const measure = ({ selections }: SelectionSetNode): Shape => {
    let depth = 0
    let rootFields = 0
    let fields = 0
    for (const selection of selections) {
      if (selection.kind === Kind.FIELD) {
        // Introspection has a rule of its own among the specified ones.
        const isPlain = selection.selectionSet && !selection.name.value.startsWith('__')
        const below = isPlain ? measure(selection.selectionSet) : nothing
        rootFields++
        fields += 1 + below.fields
        depth = Math.max(depth, 1 + below.depth)
      } else {
        const inner =
          selection.kind === Kind.FRAGMENT_SPREAD ? ofFragment(selection.name.value) : measure(selection.selectionSet)
        rootFields += inner.rootFields
        fields += inner.fields
        depth = Math.max(depth, inner.depth)
      }
    }
    return { depth, rootFields, fields }
  }
  return measure
}

const nothing: Shape = { depth: 0, rootFields: 0, fields: 0 }
