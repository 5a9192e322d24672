/**
 * A size along one axis: a number, or an integer polynomial over named sizes (`8*height`, `64*height*width + 4`)
 * for axes that stay open until the graph runs.
 */
export type Dim = number | SymbolicDim

export interface SymbolicDim {
  /** Product of names, sorted and joined by `*` ('' for the constant term) → its non-zero coefficient. */
  readonly terms: ReadonlyMap<string, number>
}

/**
 * Reads `'batch'` or `'8*height*width'`: a product of names and whole numbers.
 * Throws a RangeError on anything else.
 */
export function parseDim(text: string | number): Dim {
  if (typeof text === 'number') return checkSize(text)
  let coefficient = 1
  const names: string[] = []
  for (const factor of text.split('*').map((part) => part.trim())) {
    if (/^\d+$/.test(factor)) coefficient *= Number(factor)
    else if (/^[A-Za-z_]\w*$/.test(factor)) names.push(factor)
    else throw new RangeError(`dimension '${text}': '${factor}' is neither a name nor a whole number`)
  }
  return fromTerms(new Map([[names.sort().join('*'), coefficient]]))
}

export function addDims(a: Dim, b: Dim): Dim {
  const sum = new Map(termsOf(a))
  for (const [names, coefficient] of termsOf(b)) sum.set(names, (sum.get(names) ?? 0) + coefficient)
  return fromTerms(sum)
}

export function multiplyDims(a: Dim, b: Dim): Dim {
  const product = new Map<string, number>()
  for (const [namesA, coefficientA] of termsOf(a)) {
    for (const [namesB, coefficientB] of termsOf(b)) {
      const names = [...splitNames(namesA), ...splitNames(namesB)].sort().join('*')
      product.set(names, (product.get(names) ?? 0) + coefficientA * coefficientB)
    }
  }
  return fromTerms(product)
}

/**
 * floor(a / divisor) for a positive whole divisor. Defined where the divisor divides every named term, so that the
 * result is again a polynomial; returns undefined where it does not (the floor would depend on the named sizes).
 */
export function floorDivideDim(a: Dim, divisor: number): Dim | undefined {
  const quotient = new Map<string, number>()
  for (const [names, coefficient] of termsOf(a)) {
    if (names !== '' && coefficient % divisor !== 0) return undefined
    quotient.set(names, Math.floor(coefficient / divisor))
  }
  return fromTerms(quotient)
}

/** Whether `divisor` divides a whatever the sizes of its names are. */
export function dividesDim(a: Dim, divisor: number): boolean {
  return [...termsOf(a).values()].every((coefficient) => coefficient % divisor === 0)
}

export function equalDims(a: Dim, b: Dim): boolean {
  if (typeof a === 'number' || typeof b === 'number') return a === b
  if (a.terms.size !== b.terms.size) return false
  for (const [names, coefficient] of a.terms) if (b.terms.get(names) !== coefficient) return false
  return true
}

export function productOfDims(dims: readonly Dim[]): Dim {
  return dims.reduce(multiplyDims, 1)
}

/** The number that `dim` is when every name has the given size. Throws a RangeError on a name without one. */
export function evaluateDim(dim: Dim, sizes: Readonly<Record<string, number>>): number {
  if (typeof dim === 'number') return dim
  let total = 0
  for (const [names, coefficient] of dim.terms) {
    let product = coefficient
    for (const name of splitNames(names)) {
      const size = sizes[name]
      if (size === undefined) throw new RangeError(`dimension '${showDim(dim)}': no size given for '${name}'`)
      product *= size
    }
    total += product
  }
  return total
}

/** Canonical text, the same for equal dimensions: it names the axis in the ONNX file. */
export function showDim(dim: Dim): string {
  if (typeof dim === 'number') return String(dim)
  const texts = [...dim.terms]
    .sort(([a], [b]) => (a === '' ? 1 : b === '' ? -1 : a < b ? -1 : 1))
    .map(([names, coefficient]) =>
      names === '' ? `${coefficient}` : coefficient === 1 ? names : `${coefficient}*${names}`,
    )
  return texts.join(' + ')
}

function termsOf(dim: Dim): ReadonlyMap<string, number> {
  return typeof dim === 'number' ? new Map([['', dim]]) : dim.terms
}

function fromTerms(terms: ReadonlyMap<string, number>): Dim {
  const nonZero = new Map([...terms].filter(([, coefficient]) => coefficient !== 0))
  if (nonZero.size === 0) return 0
  const constant = nonZero.get('')
  if (nonZero.size === 1 && constant !== undefined) return constant
  return Object.freeze({ terms: nonZero })
}

function splitNames(names: string): string[] {
  return names === '' ? [] : names.split('*')
}

function checkSize(size: number): number {
  if (!Number.isSafeInteger(size) || size < 0) throw new RangeError(`dimension ${size}: must be a whole number from 0`)
  return size
}
