/** Operations in the order in which a first picture is made. */
export declare const examples: readonly {
  readonly name: string
  readonly query: string
  readonly variables: object
}[]
