import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { exitCodes } from '../codes.ts'

/** A process of the tree. */
export interface Member {
  readonly name: string
  readonly command: readonly string[]
  readonly env: NodeJS.ProcessEnv
}

export interface SupervisorOptions {
  /** A line that a member has written, on whichever stream. */
  readonly onLine: (member: string, line: string) => void
  /** A member has ended by itself; `retryMs` until it is started again. */
  readonly onRestart?: (member: string, how: string, retryMs: number) => void
  /** How long a member may take to end in good order. */
  readonly drainMs: number
  readonly retryMs?: { readonly first: number; readonly largest: number }
}

export interface Supervisor {
  /**
   * Settles once every member, or this one, or a part of it, has said that it is ready; throws MemberFailed where one
   * can't be.
   */
  ready(member?: string, part?: string): Promise<void>
  /** Sends a message to this member, and to each process that is started in its place. */
  tell(member: string, message: string): void
  /** Throws MemberFailed when a member can't be kept alive; never settles otherwise. */
  readonly failed: Promise<never>
  /** Process ids of those that live now, by name. */
  readonly pids: Readonly<Record<string, number>>
  /** Ends the members one after another, the last one first, each in good order. May be called again. */
  end(): Promise<void>
  /** Ends all of them at once. */
  kill(): void
}

/** A member that ends whatever is tried. */
export class MemberFailed extends Error {
  override readonly name = 'MemberFailed'
  /** What the whole ends with. */
  readonly exitCode: number

  constructor(message: string, exitCode: number) {
    super(message)
    this.exitCode = exitCode
  }
}

/** What a member sends over its channel once it can do its work, or a part of it. */
export const readyMessage = (part?: string) => (part === undefined ? 'ready' : `ready: ${part}`)

/** Ends in a row, none of them after it was ready, before a member is given up. */
const maxFailures = 8

/** Faults that another start can't mend: a wrong variable, a bundle that is not there. */
const lastingCodes: ReadonlySet<number> = new Set([exitCodes.input, exitCodes.bundle])

/**
 * Runs the members and starts each that ends again, after a wait that doubles while it does not get ready. They sit in
 * process groups of their own, so that Ctrl-C reaches this process alone, and end when their channel to it closes.
 */
export function supervise(members: readonly Member[], options: SupervisorOptions): Supervisor {
  const { onLine, onRestart, drainMs, retryMs = { first: 100, largest: 5000 } } = options
  const living = new Map<string, ChildProcess>()
  const told = new Map<string, string[]>()
  const ended = new AbortController()
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => undefined)

  /** The first time that a member has sent a message. */
  const firsts = new Map<string, PromiseWithResolvers<void>>()
  const firstOf = (name: string, message: string) => {
    const key = `${name}: ${message}`
    const first = firsts.get(key) ?? Promise.withResolvers<void>()
    firsts.set(key, first)
    return first
  }

  const run = async ({ name, command, env }: Member): Promise<void> => {
    for (let failures = 0; !ended.signal.aborted; ) {
      const [program, ...args] = command
      const child = spawn(program!, args, { env, detached: true, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
      living.set(name, child)
      child.on('message', (message) => {
        if (typeof message !== 'string') return
        if (message === readyMessage()) failures = 0
        firstOf(name, message).resolve()
      })
      for (const message of told.get(name) ?? []) child.send(message, ignore)
      for (const stream of [child.stdout, child.stderr]) forward(stream, (line) => onLine(name, line))
      const how = await outcome(child)
      living.delete(name)
      if (ended.signal.aborted) return
      failures++
      if (lastingCodes.has(how.code) || failures >= maxFailures) {
        failed.reject(new MemberFailed(`${name} can't be started (${how.words})`, how.code))
        return
      }
      const waitMs = Math.min(retryMs.first * 2 ** (failures - 1), retryMs.largest)
      onRestart?.(name, how.words, waitMs)
      await sleep(waitMs, undefined, { signal: ended.signal }).catch(() => undefined)
    }
  }

  for (const member of members) void run(member)

  const endOne = async (name: string): Promise<void> => {
    const child = living.get(name)
    if (!child?.pid) return
    const gone = once(child, 'exit')
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), drainMs)
    await gone
    clearTimeout(timer)
  }
  let ending: Promise<void> | undefined

  return {
    async ready(member, part) {
      const names = member === undefined ? members.map(({ name }) => name) : [member]
      const all = Promise.all(names.map((name) => firstOf(name, readyMessage(part)).promise))
      await Promise.race([all, failed.promise])
    },
    tell(member, message) {
      told.set(member, [...(told.get(member) ?? []), message])
      living.get(member)?.send(message, ignore)
    },
    failed: failed.promise,
    get pids() {
      return Object.fromEntries([...living].flatMap(([name, { pid }]) => (pid === undefined ? [] : [[name, pid]])))
    },
    end() {
      ended.abort()
      ending ??= (async () => {
        for (const { name } of members.toReversed()) await endOne(name)
      })()
      return ending
    },
    kill() {
      ended.abort()
      for (const child of living.values()) child.kill('SIGKILL')
    },
  }
}

/** One that has gone hears nothing; the next one is told. */
const ignore = () => undefined

interface Outcome {
  readonly code: number
  readonly words: string
}

function outcome(child: ChildProcess): Promise<Outcome> {
  return new Promise((resolve) => {
    child.once('error', ({ message }) => resolve({ code: exitCodes.fault, words: message }))
    child.once('exit', (code, signal) => {
      const words = code === null ? `ended by ${signal}` : `ended with code ${code}`
      resolve({ code: code ?? exitCodes.fault, words })
    })
  })
}

function forward(stream: Readable | null, onLine: (line: string) => void): void {
  if (stream) createInterface({ input: stream }).on('line', onLine)
}
