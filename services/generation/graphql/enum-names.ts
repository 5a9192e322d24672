/** A protobuf enum value as the schema names it: without its prefix, null where nothing was said. */
export function enumValue(prefix: string, value: string | undefined): string | null {
  const name = value?.slice(prefix.length)
  return name === undefined || name === 'UNSPECIFIED' ? null : name
}

/** A stage of a generation; null where it is in none. */
export const stageOf = (stage: string | undefined) => enumValue('STAGE_', stage)
