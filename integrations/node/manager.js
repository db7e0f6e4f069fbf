'use strict'
// The session manager.

const native = require('./native.js')
const { PARTS, environment, options, requireSubject, requireType, texts, toJson } = require('./arguments.js')
const { translated } = require('./errors.js')
const { addLogger, call } = require('./reports.js')
const { RequestSession } = require('./request.js')
const { Session, contextOf, date, idOf, loggableIdOf, requireSession } = require('./session.js')

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

/** Serves an embedded DynamoDB with the session table, as long as the process lives. */
async function serveEmbeddedDynamoDb({ port = 0, data, tableName = 'app_session' } = {}) {
  return call(native.serveEmbeddedDynamoDb, port, data, tableName)
}

module.exports = { SessionManager, serveEmbeddedDynamoDb }
