import { join } from 'node:path'

/** What drizzle-kit generated from the schema, in order. */
export const migrationsFolder: string = join(import.meta.dirname, 'migrations')
