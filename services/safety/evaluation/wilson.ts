export interface Interval {
  /** 0 … 1 */
  readonly low: number
  readonly high: number
}

/** Standard normal quantile of 97.5 %. */
const z = 1.959964

/** Wilson's score interval (1927) of a share at 95 %: `hits` of `count`. All of 0 to 1 where nothing was counted. */
export function wilsonInterval(hits: number, count: number): Interval {
  if (count === 0) return { low: 0, high: 1 }
  const share = hits / count
  const spread = z * Math.sqrt((share * (1 - share)) / count + z ** 2 / (4 * count ** 2))
  const centre = share + z ** 2 / (2 * count)
  const scale = 1 + z ** 2 / count
  return { low: Math.max(0, (centre - spread) / scale), high: Math.min(1, (centre + spread) / scale) }
}
