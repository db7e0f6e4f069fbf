'use strict'
// A session of the table.

const native = require('./native.js')
const { requireType, toJson } = require('./arguments.js')

const date = (seconds) => new Date(seconds * 1000)

/** A context is stored as JSON. */
const contextOf = (text) => (text == null ? undefined : JSON.parse(text))

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

module.exports = { Session, contextOf, date, idOf, loggableIdOf, requireSession }
