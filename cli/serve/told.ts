/** Option of `moma serve` for a parent that says when networks are opened beside a generation service. */
export const networksWhenTold = '--networks-when-told'

/** What that parent sends. */
export const openNetworksMessage = 'open the networks'

/** Settles when the parent has said so; at once where there is none. */
export function toldToOpenNetworks(): Promise<void> {
  if (!process.connected) return Promise.resolve()
  return new Promise((resolve) => {
    const listen = (message: unknown) => {
      if (message !== openNetworksMessage) return
      process.off('message', listen)
      resolve()
    }
    process.on('message', listen)
  })
}
