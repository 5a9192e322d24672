/** A protobuf float as the shortest number that is the same float: 0.800000011920929 is 0.8. */
export function shortest(float: number): number {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(float.toPrecision(digits))
    if (Math.fround(short) === Math.fround(float)) return short
  }
  return Number(float.toPrecision(9))
}
