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
 * or the latest. `newest` is the place that nothing is beyond.
 */
export function backlog(kept: readonly KeptEvent[], after: string | null, newest: Place): readonly KeptEvent[] {
  const place = after === null ? null : parsePlace(after)
  const isKnown = place !== null && place.epoch === newest.epoch && place.sequence <= newest.sequence
  if (!isKnown) return kept.slice(-1)
  return kept.filter(({ place: { sequence } }) => sequence > place.sequence)
}
