import { Mutex, type PGlite, parse, protocol, type QueryOptions, type Results } from '@electric-sql/pglite'

/** Runs statements that are parsed and planned once, whatever their values. */
export interface Statements {
  /** A transaction of its own. Throws what PostgreSQL says. */
  query(text: string, values?: readonly unknown[], options?: QueryOptions): Promise<Results>
  /** All or nothing; nothing but what `queryInside` is asked for runs meanwhile. */
  transaction<T>(work: () => Promise<T>): Promise<T>
  /** As `query`, in the transaction that is open. Throws a TypeError where none is. */
  queryInside(text: string, values?: readonly unknown[], options?: QueryOptions): Promise<Results>
}

export interface StatementsOptions {
  /**
   * A plan is made for what the tables hold at the time, and PGlite has nothing that notices how they grow: it is made
   * anew after this long.
   */
  readonly planMs?: number
  /** Kept at once. */
  readonly most?: number
  now?(): number
}

interface Prepared {
  readonly name: string
  readonly parameterTypes: readonly number[]
  /** Says what the rows' columns are; empty where it gives no rows. */
  readonly columns: Awaited<ReturnType<PGlite['execProtocolStream']>>
  readonly until: number
}

const { serialize } = protocol
const sync = serialize.sync()

/**
 * For PGlite's own `query`, which parses and plans every time and takes six rounds through the protocol, most of a small
 * statement's time. Whoever makes this leaves all statements of the client to it.
 */
export function createStatements(
  client: PGlite,
  { planMs = 60_000, most = 200, now = () => performance.now() }: StatementsOptions = {},
): Statements {
  const prepared = new Map<string, Prepared>()
  const turn = new Mutex()
  let names = 0
  let isOpen = false

  const send = (...messages: readonly Uint8Array[]) =>
    client.execProtocolStream(Buffer.concat([...messages, sync]), { syncToFs: false })

  const forget = async (text: string, { name }: Prepared) => {
    prepared.delete(text)
    await send(serialize.close({ type: 'S', name }))
  }

  const prepare = async (text: string): Promise<Prepared> => {
    const known = prepared.get(text)
    if (known && now() < known.until) return known
    if (known) await forget(text, known)
    for (const [oldest, statement] of prepared) {
      if (prepared.size < most) break
      await forget(oldest, statement)
    }
    const name = `s${names++}`
    const described = await send(serialize.parse({ name, text }), serialize.describe({ type: 'S', name }))
    const made: Prepared = {
      name,
      parameterTypes: parse.parseDescribeStatementResults(described),
      columns: described.filter((message) => message.name === 'rowDescription'),
      until: now() + planMs,
    }
    prepared.set(text, made)
    return made
  }

  const written = (value: unknown, type: number | undefined): string | null => {
    if (value === null || value === undefined) return null
    const write = type === undefined ? undefined : client.serializers[type]
    return write ? write(value) : String(value)
  }

  const run: Statements['query'] = async (text, values = [], options) => {
    const { name, parameterTypes, columns } = await prepare(text)
    const bound = values.map((value, index) => written(value, parameterTypes[index]))
    const answers = await send(serialize.bind({ statement: name, values: bound }), serialize.execute())
    return parse.parseResults([...columns, ...answers], client.parsers, options)[0]!
  }

  return {
    query: (text, values, options) => turn.runExclusive(() => run(text, values, options)),
    transaction: (work) =>
      turn.runExclusive(async () => {
        try {
          return await client.transaction(() => {
            isOpen = true
            return work()
          })
        } finally {
          isOpen = false
        }
      }),
    async queryInside(text, values, options) {
      if (!isOpen) throw new TypeError('there is no transaction that this could be a part of')
      return run(text, values, options)
    },
  }
}
