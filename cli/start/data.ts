import { join, resolve } from 'node:path'

/** Where everything lies that a mesh on one machine keeps: MOMA_DATA, or `.moma` in the project. */
export function dataFolder(env: NodeJS.ProcessEnv): string {
  return env.MOMA_DATA ? resolve(env.MOMA_DATA) : join(import.meta.dirname, '../../.moma')
}

/** Held by the one `moma start` on a data folder; says where its gateway and its generation service are. */
export const startLock = (data: string): string => join(data, 'start.lock')

/** Held by the one process that has the embedded database open. */
export const databaseLock = (data: string): string => join(data, 'database.lock')
