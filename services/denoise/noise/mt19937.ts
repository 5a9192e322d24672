const stateLength = 624
const shift = 397

/** A source of 32 random bits a call, 0 … 2³² − 1. */
export type RandomBits = () => number

/**
 * The Mersenne Twister MT19937 (Matsumoto and Nishimura 1998, https://doi.org/10.1145/272991.272995), seeded from 32 bits
 * by the recurrence of the authors' 2002 initialisation.
 */
export function createMt19937(seed: number): RandomBits {
  const state = new Uint32Array(stateLength)
  state[0] = seed
  for (let i = 1; i < stateLength; i++) {
    const before = state[i - 1]!
    state[i] = Math.imul(1812433253, before ^ (before >>> 30)) + i
  }
  let next = stateLength

  return () => {
    if (next === stateLength) {
      regenerate(state)
      next = 0
    }
    let bits = state[next++]!
    bits ^= bits >>> 11
    bits ^= (bits << 7) & 0x9d2c5680
    bits ^= (bits << 15) & 0xefc60000
    return (bits ^ (bits >>> 18)) >>> 0
  }
}

function regenerate(state: Uint32Array): void {
  for (let i = 0; i < stateLength; i++) {
    const joined = (state[i]! & 0x80000000) | (state[(i + 1) % stateLength]! & 0x7fffffff)
    const twist = joined & 1 ? 0x9908b0df : 0
    state[i] = state[(i + shift) % stateLength]! ^ (joined >>> 1) ^ twist
  }
}
