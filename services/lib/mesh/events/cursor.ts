/** Where an event stands: events are numbered within an epoch, which ends when all that was kept is lost. */
export interface Place {
  readonly epoch: string
  readonly sequence: number
}

export function formatPlace({ epoch, sequence }: Place): string {
  return `${epoch}-${sequence}`
}

/** Null where it is no cursor of ours. */
export function parsePlace(cursor: string): Place | null {
  const match = /^(\w{1,40})-(\d{1,16})$/.exec(cursor)
  return match ? { epoch: match[1]!, sequence: Number(match[2]) } : null
}
