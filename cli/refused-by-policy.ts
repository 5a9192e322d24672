/** The safety policy does not allow what was asked for; nothing of it is drawn. */
export class RefusedByPolicy extends Error {
  override readonly name = 'RefusedByPolicy'
}
