/** A network that can't be made, or failed. */
export class NetworkError extends Error {
  override readonly name = 'NetworkError'
  readonly network: string
  /** Whether its thread has ended, or it was let go for good: another one may do what this one did not. */
  readonly lost: boolean
  /** Whether that is because its provider computes nothing any more in this process, whatever it is asked. */
  readonly broken: boolean
  /** Whether its graph could not be built, which is the weights' or the config's fault. */
  readonly unbuilt: boolean

  constructor(network: string, reason: string, { lost = false, broken = false, unbuilt = false } = {}) {
    super(`${network}: ${reason}`)
    this.network = network
    this.lost = lost || broken
    this.broken = broken
    this.unbuilt = unbuilt
  }
}
