import { defineConfig } from 'drizzle-kit'

/** `drizzle-kit generate --config services/generation/db/drizzle.config.ts` writes what the schema has gained as a migration. */
export default defineConfig({
  dialect: 'postgresql',
  schema: './services/generation/db/schema.ts',
  out: './services/generation/db/migrations',
})
