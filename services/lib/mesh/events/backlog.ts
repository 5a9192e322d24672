import { formatPlace, type Place, parsePlace } from './cursor.ts'
import type { Event } from './events.ts'

export interface KeptEvent extends Event {
  readonly place: Place
}

/** Makes one of what is kept. */
export function keptEvent(place: Place, data: Uint8Array): KeptEvent {
  return { place, cursor: formatPlace(place), data }
}

/**
 * What a subscriber gets of the kept events of one topic, in their order, before what happens: all after the cursor,
 * or the latest where the cursor is of no epoch that is known.
 */
export function backlog(kept: readonly KeptEvent[], after: string | null, epoch: string): readonly KeptEvent[] {
  const place = after === null ? null : parsePlace(after)
  return place?.epoch === epoch ? kept.filter((event) => isAfter(event, after)) : kept.slice(-1)
}

/** Whether an event is not one that the cursor's owner has seen: the cursor may be ahead of what has arrived here. */
export function isAfter({ place }: KeptEvent, after: string | null): boolean {
  const seen = after === null ? null : parsePlace(after)
  return seen?.epoch !== place.epoch || place.sequence > seen.sequence
}
