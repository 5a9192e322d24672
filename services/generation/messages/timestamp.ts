import type { Timestamp } from '../../lib/mesh/generated/google/protobuf/Timestamp.ts'

export function toTimestamp(date: Date): Timestamp {
  const ms = date.getTime()
  return { seconds: Math.floor(ms / 1000), nanos: (((ms % 1000) + 1000) % 1000) * 1e6 }
}
