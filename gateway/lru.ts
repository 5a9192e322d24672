/** A map that forgets what was asked for longest ago once it holds more than `capacity` entries. */
export interface Lru<Value> {
  get(key: string): Value | undefined
  set(key: string, value: Value): void
  delete(key: string): void
}

export function createLru<Value>(capacity: number): Lru<Value> {
  const entries = new Map<string, Value>()
  return {
    get(key) {
      const value = entries.get(key)
      if (value === undefined) return undefined
      entries.delete(key)
      entries.set(key, value)
      return value
    },
    set(key, value) {
      entries.delete(key)
      entries.set(key, value)
      for (const [oldest] of entries) {
        if (entries.size <= capacity) break
        entries.delete(oldest)
      }
    },
    delete: (key) => void entries.delete(key),
  }
}
