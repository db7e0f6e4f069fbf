import type session = require('express-session')

/**
 * Whose session it is: the user's ID, a text of 1 to 256 bytes, or what `String()` makes one of, such as an ObjectId. An object without
 * a `toString` of its own, such as a user with all of its data, is a TypeError.
 */
export type User = string | number | bigint | { toString(): string }

/** Data that JSON.stringify writes, or a RawJson. */
export type Data = unknown

/**
 * What a session manager can be made with. Each but the last four is also an environment variable, such as
 * SESSION_IDLE_TIMEOUT_SECONDS for `idleTimeoutSeconds`; an argument overrides it.
 */
export interface Settings {
  /** The table's name or ARN. Default `app_session`. */
  tableName?: string
  /** Random bytes of a new session ID, 16 to 128. Default 32. */
  idBytes?: number
  /** A session ends this long after its last use, unless it has a timeout of its own. Default 7,200. */
  idleTimeoutSeconds?: number
  /** A session ends this long after its creation, however busy it is. Default 43,200. */
  absoluteTimeoutSeconds?: number
  /** The maximum that a session may ask for, either timeout. Default 2,592,000. */
  maxTimeoutSeconds?: number
  /** A load slides the idle deadline only when the last slide is at least this old. Default 60; 0: on every load. */
  touchIntervalSeconds?: number
  /** The maximum size of a session's data, as JSON. Default 262,144. */
  maxDataBytes?: number
  /** Sessions that were created before this moment are dead. Default: none are. */
  notBefore?: Date | string
  /** How many sessions a subject may have at once, 1 to 1,000. Default 100. */
  maxPerSubject?: number
  /** Whether one more is refused, with TooManySessionsError, or ends the one that was used longest ago. Default `end-oldest`. */
  atMaxPerSubject?: 'refuse' | 'end-oldest'
  /** Applications that share a table and name their users alike have one each. Default: empty. */
  subjectNamespace?: string
  /**
   * Whether data is stored encrypted, under a key that only the session's ID yields. `migrate` also accepts data that is not.
   * Default false.
   */
  seal?: boolean | 'migrate'
  /** Of two requests that change different keys of one session both last. Default true; false: the later one overwrites all. */
  merge?: boolean
  /**
   * A call whose table has not responded by then fails with `UNAVAILABLE`, and after three in a row the next fail at once, for a second.
   * Not `clear`, `revoke` and `revokeAll`. 100 to 10,000; default 2,000.
   */
  callTimeoutMilliseconds?: number
  /** Paths whose requests do not keep a session alive, such as those of a poll. One that ends in `/` stands for all below it. */
  passivePaths?: string[]
  /** Whether a login of a framework stores where it comes from, for the list of the user's sessions. Default true. */
  labels?: boolean
  /** A secret of 32 bytes or more, under which labels and contexts are encrypted in the table. Default: they are not. */
  labelKey?: string
  /** The DynamoDB endpoint, in place of AWS_ENDPOINT_URL_DYNAMODB. */
  endpointUrl?: string
  /** The Region, in place of that of the environment or the profile. */
  region?: string
  /** Where the time is read, for tests. Default: the machine's clock. */
  clock?: ManualClock
  /** Takes a line for each call of this process: pino, console, Powertools. An outage is a warning; loads and saves are for debugging. */
  logger?: Logger
}

export interface Logger {
  debug(...line: any[]): void
  info(...line: any[]): void
  warn(...line: any[]): void
}

/**
 * What a call did, and what it took. It names a session by its loggable ID, and holds no data. Subscribe to them with
 * `diagnostics_channel.subscribe('dynamodb-web-session', (report) => ...)`.
 */
export interface Report {
  /** `created`, `loaded`, `used`, `saved`, `renewed`, `logged-in`, `cleared`, `listed`, `revoked`, `refused` or `failed`. */
  event: string
  /** `ok`, or why not. */
  outcome: string
  loggableSessionId?: string
  newLoggableSessionId?: string
  /** The SHA-512 of the subject. */
  loggableSubject?: string
  sessions?: number
  requests: number
  readUnits: number
  writeUnits: number
  /** The error of an outage, with its causes. */
  error?: string
}

/** A clock that stands still until it is moved. */
export class ManualClock {
  /** @param now seconds since the epoch */
  constructor(now?: number)
  /** Seconds since the epoch. */
  now(): number
  advance(seconds: number): void
}

/** Data that is JSON text already: it is stored as it is. */
export class RawJson {
  constructor(text: string)
  toString(): string
}

/** A session that was alive when it was created or loaded. Change its data or its timeouts, then save it. */
export class Session {
  private constructor()
  /** What the session holds: any JSON value. */
  data: any
  /** The session ends this long after its last use. A change takes effect with the next save. */
  idleTimeoutSeconds: number
  /** The session ends this long after its creation. A change takes effect with the next save. */
  absoluteTimeoutSeconds: number
  /** The session ID. It is a secret of the session's owner: it belongs in a cookie, not into a log or a URL. */
  readonly id: string
  /** The SHA-512 of the ID: the name of the session in logs and in the table. */
  readonly loggableId: string
  /** Whose session it is. */
  readonly subject: string | undefined
  /** Whether the call that returned it has created it: `create`, or `logIn` where there was no session. */
  readonly isNew: boolean
  /** What its user recognises the session by, such as "Firefox on Linux". Any text: a page has to escape it. */
  readonly label: string | undefined
  /** More of the kind, such as `{ address: '192.0.2.1' }`. */
  readonly context: unknown
  /** When the user last logged in. undefined: the session is nobody's, or came to its user without a login. */
  readonly authenticatedAt: Date | undefined
  readonly created: Date
  /** The earlier of the two deadlines. */
  readonly expires: Date
  /** When the session ends unless it is used before. */
  readonly idleDeadline: Date
  /** When the session ends in any case. */
  readonly absoluteDeadline: Date
  /** The strong validator of the data as it was stored or loaded. */
  readonly etag: string
  /** The data as JSON text. */
  readonly json: string
}

/** A live session in the list of its subject's sessions. */
export interface ListedSession {
  /** The session's name in logs. It does not give access to the session. */
  loggableId: string
  /** The session's name in the list, which it keeps through renewals: what `revokeNamed` takes. */
  name: string
  /** What its user recognises the session by, such as "Firefox on Linux". Any text: a page has to escape it. */
  label?: string
  /** More of the kind, such as `{ address: '192.0.2.1' }`. */
  context?: unknown
  /** Whether it is the session that `sessionsOf` was asked to mark. */
  isCurrent: boolean
  created: Date
  /** When the idle deadline last slid. */
  lastUsed: Date
  expires: Date
}

export interface CreateOptions {
  /** Whose session it is, such as a user's ID: 1 to 256 bytes of UTF-8. */
  subject?: string
  idleTimeoutSeconds?: number
  absoluteTimeoutSeconds?: number
  /** For the list of the user's sessions: up to 64 bytes of text, such as "Firefox on Linux". */
  label?: string
  /** More of the kind: up to 128 bytes as JSON. */
  context?: unknown
}

/**
 * Creates, loads, saves, renews and clears sessions. Make one and share it. Every method may fail with UnavailableError and
 * MisconfiguredError.
 */
export class SessionManager {
  /** Nothing is sent yet. Throws ConfigurationError for a setting that is not accepted. */
  constructor(settings?: Settings)

  /**
   * Creates a session with a new ID. Its data is an empty object by default. Fails with InvalidDataError,
   * DataTooLargeError, InvalidTimeoutError and TooManySessionsError.
   */
  create(data?: Data, options?: CreateOptions): Promise<Session>

  /**
   * For the stores of frameworks that make session IDs themselves: creates a session under a given ID of at least 16 random
   * bytes in base64url, which must never come from a request. Fails with IdInUseError when a record has it.
   */
  createUnderGivenId(id: string, data?: Data, options?: CreateOptions): Promise<Session>

  /**
   * Loads a session, which counts as a use of it. `undefined`: the ID was never issued, the session was cleared, or it has
   * expired. An outage is an error.
   */
  load(id: string | Session): Promise<Session | undefined>

  /** Loads a session without using it: its idle deadline does not slide. */
  peek(id: string | Session): Promise<Session | undefined>

  /**
   * Saves a session's data, and the timeouts that were changed, even if another caller has saved since it was loaded. Fails
   * with NotFoundError when the session is dead: a save does not bring it back.
   */
  save(session: Session): Promise<void>

  /** Saves a session unless another caller has saved other data since it was loaded: then it fails with ChangedError. */
  saveIfUnchanged(session: Session): Promise<void>

  /** Changes parts of a session without loading it, and returns the tag of its data. */
  update(
    id: string | Session,
    changes: {
      data?: Data
      idleTimeoutSeconds?: number
      absoluteTimeoutSeconds?: number
      /** `''` removes it. */
      label?: string
      context?: unknown
      ifMatch?: string
    },
  ): Promise<string>

  /**
   * Makes a session that of `subject`, such as a user's ID, under a new ID: in one transaction, or not at all. Call it when the
   * user was authenticated. `data` replaces the session's data. If the session has ended, or there was none, the subject gets a
   * new one with `dataIfNew`, or `data`, and none of the old data. Fails as `create` does, and with ChangedError.
   */
  logIn(
    id: string | Session | null | undefined,
    subject: User,
    options?: {
      data?: Data
      dataIfNew?: Data
      idleTimeoutSeconds?: number
      absoluteTimeoutSeconds?: number
      label?: string
      context?: unknown
      ifMatch?: string
    },
  ): Promise<Session>

  /**
   * Gives a session a new ID and ends the old one, in one transaction. Call it when privileges change; for a login there is
   * `logIn`. The absolute deadline stays. Returns undefined if the session has ended, or another renewal was faster. Fails with
   * RenewedTooOftenError after ten times in a minute.
   */
  renew(id: string | Session, changes?: { data?: Data; ifMatch?: string }): Promise<Session | undefined>

  /**
   * Ends a session at once. One that does not exist is not an error. If the session was renewed, this ends it under its new ID.
   * Returns whether this call has ended a live session, as far as it knows.
   */
  clear(id: string | Session, options?: { ifMatch?: string }): Promise<boolean>

  /** The live sessions of a subject, the last used first. */
  sessionsOf(user: User, options?: { current?: string | Session }): Promise<ListedSession[]>

  /** Ends all sessions of a subject, or all but one, which is named by its loggable ID. */
  revokeAll(user: User, options?: { except?: string | Session }): Promise<void>

  /** Ends one session by its loggable ID, for example from a log or a list. */
  revoke(loggableId: string | Session): Promise<void>

  /**
   * Ends one session of a subject by its name in the list, also if it has another ID by now. One that is not in the list, such as that
   * of another subject, is not an error. Returns whether this call has ended a session.
   */
  revokeNamed(user: User, name: string): Promise<boolean>

  /** Whether the user of a session has logged in within so many minutes. */
  isLoggedInWithin(session: Session | undefined, minutes: number): boolean

  /** Notes that the user of a session has proved once more who they are. The session keeps its ID. */
  confirmLogin(id: string | Session): Promise<void>

  /** The timeouts of the settings. */
  readonly idleTimeoutSeconds: number
  readonly maxTimeoutSeconds: number

  /** What is right and wrong with the table and with the permissions of the caller. It changes nothing. */
  check(): Promise<Array<{ name: string; state: 'ok' | 'wrong' | 'not known'; detail: string }>>
}

/**
 * Serves an embedded DynamoDB with the session table on 127.0.0.1, as long as the process lives, and returns its URL. The
 * sessions are in memory, or in the file `data`.
 */
export function serveEmbeddedDynamoDb(options?: { port?: number; data?: string; tableName?: string }): Promise<string>

/** A store for express-session, @fastify/session or koa-session, and what these do not know. A request of Koa is its context. */
export interface DynamoDbStore extends session.Store {
  /** The session manager of the store. */
  readonly sessions: SessionManager
  /** Registers @fastify/session with this store: `app.register(store.fastify, { secret })`. The options are those of @fastify/session. */
  fastify(app: any, options: any): Promise<void>
  /** The live sessions of a user, the last used first. */
  sessionsOf(user: User, options?: { current?: object }): Promise<ListedSession[]>
  /** The session of a request in the table. undefined: there is none, or not yet. */
  recordOf(request: object): Promise<Session | undefined>
  /** Ends one session of a user, by its name in the list. Returns whether this call has ended it. */
  revoke(user: User, name: string): Promise<boolean>
  /** Ends all sessions of a user, or all but that of a request. When it is done, none of them can be loaded any more. */
  logOutEverywhere(user: User, options?: { except?: object }): Promise<void>
  touch(id: string, data: session.SessionData, callback?: () => void): void
}

/**
 * Makes a store: `session({ store: expressStore(session), ... })`. `middleware` is the module whose store it is: express-session,
 * @fastify/session or koa-session.
 *
 * `subject` says whose a session is, from its data: `(data) => data.user`. The session goes into the list of that user's sessions
 * with the next save, and out of it when the data names another user or none.
 *
 * The response waits until the session is stored: an outage is `503`, a session that has ended meanwhile `400`, and the cookie is
 * set only for a session that is there.
 */
export function expressStore(
  middleware: object,
  options?: {
    sessions?: SessionManager
    subject?: (data: session.SessionData & Record<string, any>) => User | null | undefined
    /** A store that was used before, such as connect-dynamodb. Until then, its sessions are moved at their next request. */
    moveFrom?: { store: session.Store; until: Date }
  },
): DynamoDbStore

/**
 * Logs a user in: the session of the request (of Koa: its context) gets a new ID and the changes, and is the user's from then on,
 * all in one transaction. When it fails, such as with TooManySessionsError, the session is as it was, and nothing of this request
 * is stored.
 */
export function logIn(request: object, user: User, changes?: Record<string, unknown>): Promise<void>

/**
 * Gives the session of a request a new ID, with what the request has changed. Call it when privileges change; for a login there is
 * `logIn`. Without a stored session it does nothing. Fails with NotFoundError when the session has ended meanwhile.
 */
export function renew(request: object): Promise<void>

/** Notes that the user of a request has proved once more who they are: the session keeps its ID. */
export function confirmLogin(request: object): Promise<void>

/**
 * A middleware of Express and Koa, and a hook of Fastify, that lets a request pass whose user has logged in within so many minutes.
 * The others get 401, or what `otherwise`, a middleware too, answers: a page that asks for the password.
 */
export function requiresLoginWithin(
  minutes: number,
  otherwise?: (request: any, response: any, next: (error?: unknown) => void) => unknown,
): (request: any, response: any, next?: any) => any

/** The base of this package's errors. None holds a session ID or data. */
export class SessionError extends Error {
  readonly code: string
  /** The status of the response where a handler throws it in Express, Koa or Fastify: 400, 409, 429, 503, and 500 for the rest. */
  readonly status: number
}
/** There is no live session with this ID. */
export class NotFoundError extends SessionError {}
/** Another caller has saved other data since the session was loaded. */
export class ChangedError extends SessionError {}
/** The data cannot be stored as JSON, or is nested more than 100 levels deep. */
export class InvalidDataError extends SessionError {}
/** The data, as JSON, is larger than the setting `maxDataBytes`. */
export class DataTooLargeError extends InvalidDataError {}
/** A timeout is less than a second, no whole number, or longer than the setting `maxTimeoutSeconds`. */
export class InvalidTimeoutError extends SessionError {}
/** The subject has as many sessions as the setting `maxPerSubject` allows. */
export class TooManySessionsError extends SessionError {}
/** The session was renewed ten times within a minute. It lives on under its ID. */
export class RenewedTooOftenError extends SessionError {}
/** A record has the ID that was given. */
export class IdInUseError extends SessionError {}
/** The table could not be reached, was throttled, or failed. A retry may help. An outage is not a logout. */
export class UnavailableError extends SessionError {}
/** DynamoDB refused the request: the table, the credentials or the permissions are missing. */
export class MisconfiguredError extends SessionError {}
/** The table holds a record that this library has not written. */
export class CorruptRecordError extends SessionError {}
/** A setting is not accepted. The message names it by its environment variable, and says what it accepts. */
export class ConfigurationError extends SessionError {}

/** The cookie's name and attributes. By default `__Host-id`, with Secure, HttpOnly, Path=/ and SameSite=Lax; for http `id`. */
export interface CookieOptions {
  name?: string
  secure?: boolean
  sameSite?: 'Lax' | 'Strict' | 'None'
}

/** The session of one request. */
export interface FetchSession<Data = Record<string, any>> {
  /** Change it as you like; `commit` stores it. */
  data: Data
  /** Whose session it is: what `logIn` was given, as a text. */
  readonly user: string | undefined
  /** The session in the table. undefined: there is none, or not yet. */
  readonly record: Session | undefined
  /** The seconds that session and cookie live without use, if the cookie outlives the browser. Set it for "remember me". */
  maxAge: number | undefined
  /** Whether this request is a use of the session. A poll should not be one. */
  keepsAlive: boolean
  /**
   * Logs a user in: the session gets a new ID and the changes, and is the user's from then on, all in one transaction. When it
   * fails, the user is not logged in, and nothing of this request is stored.
   */
  logIn(user: User, changes?: Partial<Data>): Promise<void>
  /**
   * Gives the session a new ID, with what the request has changed. Call it when privileges change; for a login there is `logIn`.
   * Without a stored session it does nothing. Fails with NotFoundError when the session has ended meanwhile.
   */
  renew(): Promise<void>
  /** Notes that the user has proved once more who they are: the session keeps its ID. */
  confirmLogin(): Promise<void>
  /** Whether the user has logged in within so many minutes. */
  isLoggedInWithin(minutes: number): boolean
  /** Ends the session. What is put into `data` afterwards is a new one. */
  logOut(): Promise<void>
}

/** Sessions for everything with `Request` and `Response`: Hono, Next.js route handlers, SvelteKit, React Router, `fetch` handlers. */
export function fetchSessions(options?: {
  sessions?: SessionManager
  cookie?: CookieOptions
  /** The address of a request's client, for the list of the user's sessions. Default: it is not stored. */
  address?: (request: any) => string | undefined
}): {
  readonly sessions: SessionManager
  /** The session of a request, which may also be its headers or the text of its Cookie header. */
  getSession<Data = Record<string, any>>(
    request: { headers: { get(name: string): string | null }; url?: string } | { get(name: string): string | null } | string | null | undefined,
  ): Promise<FetchSession<Data>>
  /**
   * Stores what the request has changed, and returns the value of the response's Set-Cookie header. undefined: the response sets
   * none. Call it once, after the handler and before the response. When it fails, nothing is stored; but a login that this request has
   * made before is: call it again for its cookie.
   */
  commit(session: FetchSession): Promise<string | undefined>
  /** Ends the session, and returns the value of the Set-Cookie header. */
  destroy(session: FetchSession): Promise<string | undefined>
  /** The live sessions of a user, the last used first. `current` has `isCurrent`. */
  sessionsOf(user: User, options?: { current?: FetchSession }): Promise<ListedSession[]>
  /** Ends one session of a user, by its name in the list. Returns whether this call has ended it. */
  revoke(user: User, name: string): Promise<boolean>
  /** Ends all sessions of a user, or all but this one. When it is done, none of them can be loaded any more. */
  logOutEverywhere(user: User, options?: { except?: FetchSession }): Promise<void>
}

/**
 * For React Router's and Remix's `createSessionStorage({ cookie, ...sessionStorage() })`, whose interface never changes the ID of
 * a session: begin another session for a login, or use `fetchSessions`. `subject` says whose a session is, from its data.
 */
export function sessionStorage<Data = Record<string, any>>(options?: {
  sessions?: SessionManager
  subject?: (data: Partial<Data>) => User | undefined | null
}): {
  createData(data: Partial<Data>, expires?: Date): Promise<string>
  readData(id: string): Promise<Partial<Data> | null>
  updateData(id: string, data: Partial<Data>, expires?: Date): Promise<void>
  deleteData(id: string): Promise<void>
}
