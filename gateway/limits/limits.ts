/** What one operation may ask for, over HTTP, WebSocket and server-sent events alike. */
export const limits = {
  /** Lexical tokens of a document. */
  tokens: 2000,
  /** Fields below fields, fragments counted where they are spread. */
  depth: 12,
  /** Aliases in a document. */
  aliases: 30,
  /** Fields of an operation's root, fragments counted where they are spread. */
  rootFields: 20,
  /** Fields of an operation at all depths, fragments counted where they are spread: planning takes its time for each. */
  fields: 500,
  /** Directives in a document. */
  directives: 50,
  /** See cost.ts. */
  cost: 5000,
  /** Bytes of an HTTP request's body or a WebSocket message. */
  messageBytes: 256 * 1024,
  /** How long operations may take; mutations as long as the longest call that they make, CreateSubject's. */
  operationMs: { query: 30_000, mutation: 120_000 },
  /** Operations at once over one WebSocket. */
  operationsPerSocket: 100,
  /** Open WebSockets. */
  sockets: 2000,
  /** Open streams of server-sent events. */
  eventStreams: 2000,
} as const
