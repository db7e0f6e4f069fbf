'use strict'
// Sessions and their manager.

const native = require('./native.js')

const { InvalidDataError, translated } = require('./errors.js')
const { addLogger, deliver, listen } = require('./reports.js')

/** A function of the addon whose errors are those of this package. */
async function call(method, ...values) {
  listen()
  try {
    return await method(...values)
  } catch (error) {
    throw translated(error)
  } finally {
    deliver()
  }
}

function toJson(data) {
  if (data instanceof RawJson) return data.text
  let text
  try {
    text = JSON.stringify(data)
  } catch (cause) {
    // A value of the program may throw anything from its toJSON.
    throw new InvalidDataError(`JSON.stringify does not support the data: ${cause?.message}`, { cause })
  }
  if (text === undefined) throw new InvalidDataError(`JSON has no value for data of type ${typeof data}`)
  return text
}

function requireType(name, value, type) {
  if (typeof value !== type) throw new TypeError(`${name} must be a ${type}; it is a ${typeof value}`)
}

const OPTIONS = { idleTimeoutSeconds: 'number', absoluteTimeoutSeconds: 'number', label: 'string', ifMatch: 'string' }

/** What a create, a login and an update may set besides data. */
const PARTS = ['idleTimeoutSeconds', 'absoluteTimeoutSeconds', 'label', 'context']

/** The options that are given, each of which must be one of `allowed` and of its type. */
function options(given, ...allowed) {
  for (const [name, value] of Object.entries(given)) {
    if (!allowed.includes(name)) throw new TypeError(`there is no option ${name}`)
    if (name === 'subject') given = { ...given, subject: subjectOf(value) }
    if (name === 'context') given = { ...given, context: value === undefined || value === '' ? value : toJson(value) }
    if (value !== undefined && OPTIONS[name]) requireType(name, value, OPTIONS[name])
  }
  return given
}

function idOf(session) {
  if (session instanceof Session) return session.id
  requireType('the session ID', session, 'string')
  return session
}

function loggableIdOf(session) {
  if (session instanceof Session) return session.loggableId
  requireType('the loggable ID', session, 'string')
  return session
}

function requireSession(session) {
  if (!(session instanceof Session)) throw new TypeError('save takes a session that was created or loaded')
}

const date = (seconds) => new Date(seconds * 1000)

/** A context is stored as JSON. */
const contextOf = (text) => (text == null ? undefined : JSON.parse(text))

/** The label and the context of the device that a request comes from. */
function deviceOf(client) {
  const [label, context] = native.deviceOf(...client)
  return { label: label ?? undefined, context: contextOf(context) }
}

/** Where a request comes from, by its headers. */
function clientOf(header, address) {
  return [address, header('user-agent'), header('sec-ch-ua'), header('sec-ch-ua-platform')].map((text) => text ?? undefined)
}

class RawJson {
  constructor(text) {
    requireType('JSON text', text, 'string')
    this.text = text
  }

  toString() {
    return this.text
  }
}

class Session {
  #native
  #data
  #hasData = false
  #isNew

  constructor(record, isNew) {
    if (!(record instanceof native.NativeSession)) throw new TypeError('create or load a session')
    this.#isNew = isNew
    this.#take(record)
  }

  #take(record) {
    this.#native = record
    this.idleTimeoutSeconds = record.idleTimeoutSeconds
    this.absoluteTimeoutSeconds = record.absoluteTimeoutSeconds
  }

  /** Saves by a function that takes the addon's session, JSON and timeouts, and returns the session as it is then. */
  async saveBy(save) {
    requireType('idleTimeoutSeconds', this.idleTimeoutSeconds, 'number')
    requireType('absoluteTimeoutSeconds', this.absoluteTimeoutSeconds, 'number')
    this.#take(await save(this.#native, this.json, [this.idleTimeoutSeconds, this.absoluteTimeoutSeconds]))
  }

  get data() {
    if (!this.#hasData) this.data = JSON.parse(this.#native.json)
    return this.#data
  }

  set data(data) {
    this.#data = data
    this.#hasData = true
  }

  get json() {
    return this.#hasData ? toJson(this.#data) : this.#native.json
  }

  get id() {
    return this.#native.id
  }

  get loggableId() {
    return this.#native.loggableId
  }

  get subject() {
    return this.#native.subject ?? undefined
  }

  get label() {
    return this.#native.label ?? undefined
  }

  get context() {
    return contextOf(this.#native.context)
  }

  get authenticatedAt() {
    return this.#native.authenticatedAt == null ? undefined : date(this.#native.authenticatedAt)
  }

  /** For the session manager, which has the clock. */
  isWithin(manager, seconds) {
    return manager.isLoggedInWithin(this.#native, seconds)
  }

  get isNew() {
    return this.#isNew
  }

  get created() {
    return date(this.#native.created)
  }

  get expires() {
    return date(this.#native.expires)
  }

  get idleDeadline() {
    return date(this.#native.idleDeadline)
  }

  get absoluteDeadline() {
    return date(this.#native.absoluteDeadline)
  }

  get etag() {
    return this.#native.etag
  }

  [Symbol.for('nodejs.util.inspect.custom')]() {
    return `<Session ${this.loggableId.slice(0, 16)}… until ${this.expires.toISOString()}>`
  }

  /** Neither JSON.stringify nor a logger gets the ID. */
  toJSON() {
    return { loggableId: this.loggableId, expires: this.expires }
  }
}

/** The settings as texts: `idleTimeoutSeconds` is `idle_timeout_seconds` in the crate. */
function texts({ clock, logger, ...settings }) {
  const given = {}
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined) continue
    const isList = Array.isArray(value) && value.every((each) => typeof each === 'string')
    const text = value instanceof Date ? value.toISOString() : isList ? value.join() : value
    if (!['string', 'number', 'boolean'].includes(typeof text)) {
      throw new TypeError(`${name} cannot be of type ${typeof value}`)
    }
    given[name.replace(/[A-Z]/g, '_$&').toLowerCase()] = String(text)
  }
  return given
}

/** What this package reads of process.env, which a worker and jest have their own of. */
function environment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => /^(SESSION|AWS)_/.test(name)))
}

/** Whose session it is, as a text: numbers, UUIDs and ObjectIds are what String() makes of them. undefined: nobody's. */
function subjectOf(user) {
  // Its text would be [object Object], the same for all users.
  if (typeof user === 'object' && user?.toString === Object.prototype.toString) throw new TypeError("a user is named by an ID, such as user.id, not by an object")
  return user === undefined || user === null || user === '' ? undefined : String(user)
}

function requireSubject(user) {
  const subject = subjectOf(user)
  if (subject === undefined) throw new TypeError('a user is needed: a text, or what String() makes one of')
  return subject
}

class SessionManager {
  #native

  /** The session of a web request, for the frameworks. `givenId` is an ID that the framework has made for a new session. */
  request(cookie, givenId) {
    return new RequestSession(this.#native, cookie, givenId)
  }

  constructor(settings = {}) {
    addLogger(settings.logger)
    try {
      this.#native = new native.NativeManager(texts(settings), environment(), settings.clock)
    } catch (error) {
      throw translated(error)
    }
  }

  #call(verb, ...values) {
    return call(this.#native[verb].bind(this.#native), ...values)
  }

  async create(data = {}, given = {}) {
    const chosen = options(given, 'subject', ...PARTS)
    return new Session(await this.#call('create', toJson(data), chosen), true)
  }

  async createUnderGivenId(id, data = {}, given = {}) {
    requireType('the session ID', id, 'string')
    const chosen = options(given, 'subject', ...PARTS)
    return new Session(await this.#call('createUnderGivenId', id, toJson(data), chosen), true)
  }

  async load(id) {
    const record = await this.#call('load', idOf(id))
    return record ? new Session(record, false) : undefined
  }

  async peek(id) {
    const record = await this.#call('peek', idOf(id))
    return record ? new Session(record, false) : undefined
  }

  /** Whether requests with this path do not keep a session alive: the setting `passivePaths`. */
  isPassive(path) {
    return this.#native.isPassive(path)
  }

  /** Whether a login stores where it comes from: the setting `labels`. */
  get storesLabels() {
    return this.#native.storesLabels
  }

  get idleTimeoutSeconds() {
    return this.#native.idleTimeoutSeconds
  }

  get maxTimeoutSeconds() {
    return this.#native.maxTimeoutSeconds
  }

  async save(session) {
    requireSession(session)
    await session.saveBy((record, json, timeouts) => this.#call('save', record, json, timeouts, false))
  }

  async saveIfUnchanged(session) {
    requireSession(session)
    await session.saveBy((record, json, timeouts) => this.#call('save', record, json, timeouts, true))
  }

  async update(id, { data, ...given }) {
    const chosen = options(given, ...PARTS, 'ifMatch')
    return this.#call('update', idOf(id), data === undefined ? undefined : toJson(data), chosen)
  }

  async logIn(id, subject, { data, dataIfNew, ...given } = {}) {
    const user = requireSubject(subject)
    const chosen = options(given, ...PARTS, 'ifMatch')
    const json = [data, dataIfNew].map((value) => (value === undefined ? undefined : toJson(value)))
    const [record, isNew] = await this.#call('logIn', id == null ? undefined : idOf(id), user, json, chosen)
    return new Session(record, isNew)
  }

  async renew(id, { data, ...given } = {}) {
    const chosen = options(given, 'ifMatch')
    const record = await this.#call('renew', idOf(id), data === undefined ? undefined : toJson(data), chosen)
    return record ? new Session(record, false) : undefined
  }

  async clear(id, given = {}) {
    return this.#call('clear', idOf(id), options(given, 'ifMatch'))
  }

  async sessionsOf(subject, given = {}) {
    const { current } = options(given, 'current')
    const marked = current === undefined ? undefined : loggableIdOf(current)
    const listed = await this.#call('sessionsOf', requireSubject(subject))
    return listed.map(({ created, lastUsed, expires, context, ...others }) => ({
      ...others,
      context: contextOf(context),
      isCurrent: others.loggableId === marked,
      created: date(created),
      lastUsed: date(lastUsed),
      expires: date(expires),
    }))
  }

  async revokeAll(subject, given = {}) {
    const { except } = options(given, 'except')
    await this.#call('revokeAll', requireSubject(subject), except === undefined ? undefined : loggableIdOf(except))
  }

  async revoke(loggableId) {
    await this.#call('revoke', loggableIdOf(loggableId))
  }

  async revokeNamed(subject, name) {
    requireType('the name', name, 'string')
    return this.#call('revokeNamed', requireSubject(subject), name)
  }

  isLoggedInWithin(session, minutes) {
    requireType('the number of minutes', minutes, 'number')
    return session !== undefined && session.isWithin(this.#native, minutes * 60)
  }

  async confirmLogin(id) {
    await this.#call('confirmLogin', idOf(id))
  }

  async check() {
    return JSON.parse(await this.#call('check'))
  }
}

/** Warns once. */
function fixationWarning(advice) {
  let isGiven = false
  return () => {
    if (isGiven) return
    isGiven = true
    process.emitWarning(`a session got a user and kept its ID, which somebody may have planted: ${advice}`, {
      type: 'SecurityWarning',
      code: 'DYNAMODB_WEB_SESSION_FIXATION',
    })
  }
}

class RequestSession {
  #native
  #given
  #client = []

  constructor(...given) {
    this.#given = given
    this.record = undefined
    this.isSuperseded = false
  }

  #call(step, ...values) {
    return call(() => {
      this.#native ??= new native.NativeRequest(...this.#given)
      this.#native.cameFrom(...this.#client)
      return this.#native[step](...values)
    })
  }

  async open() {
    const opened = await this.#call('open')
    this.isSuperseded = opened.isSuperseded
    this.#took(opened.session())
  }

  #took(record) {
    this.record = record ? new Session(record, false) : undefined
  }

  /** Where the request comes from: what `clientOf` returns. */
  cameFrom(client) {
    this.#client = client
  }

  async confirmLogin() {
    this.#took(await this.#call('confirmLogin'))
  }

  /** A lifetime is a number of seconds, `'keep'` or undefined: as long as the settings say. */
  async logIn(user, json, changes, lifetime) {
    this.#took(await this.#call('logIn', requireSubject(user), json, toJson(changes), lifetime))
  }

  async logOut() {
    await this.#call('logOut')
    this.#took(undefined)
  }

  /**
   * Stores what has changed, and returns the cookie that the response may set: `id` and `maxAge`, what is left of the session in
   * seconds. Without an ID the cookie is deleted; undefined: it is left alone.
   */
  async finish(json, { lifetime, subject, keepsAlive = true, refreshes = true }) {
    return (await this.#call('finish', { json, lifetime, subject, keepsAlive, refreshes })) ?? undefined
  }
}

/** Serves an embedded DynamoDB with the session table, as long as the process lives. */
async function serveEmbeddedDynamoDb({ port = 0, data, tableName = 'app_session' } = {}) {
  return call(native.serveEmbeddedDynamoDb, port, data, tableName)
}

module.exports = {
  ManualClock: native.ManualClock,
  RawJson,
  Session,
  SessionManager,
  clientOf,
  deviceOf,
  fixationWarning,
  serveEmbeddedDynamoDb,
  subjectOf,
}
