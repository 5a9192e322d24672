/** What `parseBytes` reads. */
export const allowedBytes = '64M or more, such as 8G'

/** Bytes from `512M`, `12G` or a plain number; null where it is none of them or less than 64 MiB. */
export function parseBytes(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?$/i.exec(text.trim())
  const power = ' KMGT'.indexOf(match?.[2]?.toUpperCase() || ' ')
  const bytes = match ? Number(match[1]) * 1024 ** power : Number.NaN
  return Number.isFinite(bytes) && bytes >= 2 ** 26 ? Math.floor(bytes) : null
}
