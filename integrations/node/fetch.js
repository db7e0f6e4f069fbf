'use strict'
// Sessions for everything with Request and Response, and the storage of React Router.

const { subjectOf } = require('./arguments.js')
const { NotFoundError } = require('./errors.js')
const { SessionManager } = require('./manager.js')
const { clientOf, fixationWarning } = require('./request.js')

/** By the rules of `__Host-`, unless it is for http. https://www.rfc-editor.org/rfc/rfc6265bis section 4.1.3.2 */
function cookieRules({ secure = true, name = secure ? '__Host-id' : 'id', sameSite = 'Lax', ...others } = {}) {
  const [unknown] = Object.keys(others)
  if (unknown) throw new TypeError(`a cookie has no option ${unknown}; there are name, secure and sameSite`)
  if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name)) throw new TypeError('the name is no name of a cookie')
  if (!['Lax', 'Strict', 'None'].includes(sameSite)) throw new TypeError('sameSite must be Lax, Strict or None')
  if (!secure && (sameSite === 'None' || name.startsWith('__'))) throw new TypeError('this cookie must be secure')
  const attributes = `; Path=/; HttpOnly${secure ? '; Secure' : ''}; SameSite=${sameSite}`
  return { name, header: (value, maxAge) => `${name}=${value}${maxAge === undefined ? '' : `; Max-Age=${maxAge}`}${attributes}` }
}

/** Reads a header of a Request, of Headers, or of the text of the Cookie header alone. */
function headersOf(from) {
  if (from === undefined || from === null || typeof from === 'string') return (name) => (name === 'cookie' ? from : undefined)
  const headers = typeof from.get === 'function' ? from : from.headers // the Headers of Next.js have a `headers` of their own
  if (typeof headers?.get !== 'function') throw new TypeError('getSession takes a Request, its headers, or the text of its Cookie header')
  return (name) => headers.get(name)
}

function cookieNamed(name, text) {
  for (const pair of text.split(';')) {
    const [key, value] = pair.split(/=(.*)/s)
    if (key.trim() === name && value !== undefined) return value.trim()
  }
  return undefined
}

/** The session of one request. */
class FetchSession {
  #request
  #manager
  #lifetime = 'keep'
  #isKept
  #user

  constructor(request, manager, keepsAlive) {
    this.#request = request
    this.#manager = manager
    this.keepsAlive = keepsAlive
    this.#took()
  }

  #took() {
    const { record } = this.#request
    this.data = record ? JSON.parse(record.json) : {}
    this.#user = record?.subject
  }

  get record() {
    return this.#request.record
  }

  /** Whose session it is: what `logIn` was given, as a text. */
  get user() {
    return this.#user
  }

  get #keeps() {
    return this.#isKept ?? (this.record !== undefined && this.record.idleTimeoutSeconds !== this.#manager.idleTimeoutSeconds)
  }

  get maxAge() {
    return this.#keeps ? this.record?.idleTimeoutSeconds : undefined
  }

  set maxAge(seconds) {
    if (seconds !== undefined && !(Number.isFinite(seconds) && seconds >= 0)) throw new TypeError('maxAge is a number of seconds')
    this.#isKept = seconds !== undefined
    this.#lifetime = seconds
  }

  async logIn(user, changes = {}) {
    try {
      await this.#request.logIn(user, JSON.stringify(this.data), changes, this.#lifetime)
    } finally {
      this.#took() // after a failure, the session is as it was
    }
  }

  async renew() {
    if (!this.record) return
    try {
      await this.#request.renew(JSON.stringify(this.data))
    } finally {
      this.#took()
    }
  }

  /** The user has proved once more who they are: the session keeps its ID. */
  async confirmLogin() {
    await this.#request.confirmLogin()
  }

  /** Whether the user has logged in within so many minutes. */
  isLoggedInWithin(minutes) {
    return this.#manager.isLoggedInWithin(this.record, minutes)
  }

  async logOut() {
    await this.#request.logOut()
    this.#took()
  }

  /** Stores what has changed. Returns the cookie that the response may set. */
  async store() {
    try {
      return await this.#request.finish(JSON.stringify(this.data), {
        lifetime: this.#lifetime,
        keepsAlive: this.keepsAlive,
        refreshes: this.#keeps,
      })
    } catch (error) {
      this.#took() // called again, it stores nothing
      throw error
    }
  }

  /** What is left of the cookie, if it outlives the browser. */
  cookieAge(maxAge) {
    return this.#keeps ? maxAge : undefined
  }
}

function fetchSessions({ sessions, cookie, address = () => undefined } = {}) {
  const manager = sessions ?? new SessionManager()
  const { name, header } = cookieRules(cookie)

  async function commit(session) {
    const stored = await session.store()
    if (!stored) return undefined
    return stored.id === undefined ? header('', 0) : header(stored.id, session.cookieAge(stored.maxAge))
  }

  return {
    sessions: manager,

    async getSession(request) {
      const read = headersOf(request)
      const opened = manager.request(cookieNamed(name, read('cookie') ?? ''))
      if (request && typeof request === 'object') opened.cameFrom(clientOf(read, address(request)))
      await opened.open()
      return new FetchSession(opened, manager, !(request?.url && manager.isPassive(new URL(request.url).pathname)))
    },

    commit,

    async destroy(session) {
      await session.logOut()
      return commit(session)
    },

    async sessionsOf(user, { current } = {}) {
      return manager.sessionsOf(user, { current: current?.record })
    },

    async revoke(user, name) {
      return manager.revokeNamed(user, name)
    },

    async logOutEverywhere(user, { except } = {}) {
      return manager.revokeAll(user, { except: except?.record })
    },
  }
}

/**
 * For React Router's and Remix's `createSessionStorage({ cookie, ...sessionStorage() })`, which never changes the ID of a session.
 * `subject` says whose a session is, from its data.
 */
function sessionStorage({ sessions, subject = () => undefined } = {}) {
  const manager = sessions ?? new SessionManager()
  const warn = fixationWarning('destroy the session and begin another one for the login, or use fetchSessions')
  const lifetimeOf = (expires) => (expires ? Math.max(0, (expires.getTime() - Date.now()) / 1000) : 'keep')

  return {
    async createData(data, expires) {
      const options = { subject: subjectOf(subject(data)) }
      const lifetime = lifetimeOf(expires)
      if (lifetime !== 'keep') options.idleTimeoutSeconds = Math.ceil(lifetime)
      return (await manager.create(data, options)).id
    },

    async readData(id) {
      const request = manager.request(id)
      await request.open()
      return request.record ? JSON.parse(request.record.json) : null
    },

    async updateData(id, data, expires) {
      const request = manager.request(id)
      await request.open()
      if (!request.record) throw new NotFoundError('the session has ended')
      const said = subjectOf(subject(data))
      const change = said === request.record.subject ? undefined : (said ?? '')
      if (change) warn()
      await request.finish(JSON.stringify(data), { lifetime: lifetimeOf(expires), subject: change })
    },

    async deleteData(id) {
      await manager.clear(id)
    },
  }
}

module.exports = { fetchSessions, sessionStorage }
