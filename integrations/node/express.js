'use strict'
// A store for express-session.

const { RawJson, subjectOf } = require('./arguments.js')
const { ANSWERS, NotFoundError } = require('./errors.js')
const { SessionManager } = require('./manager.js')
const { clientOf, fixationWarning } = require('./request.js')
const { cut, dataOf, isBelowASecond, lifetimeOf, textOf } = require('./stored.js')

/** Marks what `get` returns, until express-session makes its own object of it. */
const LOADED = Symbol('loaded')

/** What the request of @fastify/session has read. That copies what `get` returns, and keeps of it only data and cookie. */
const READ = Symbol('read')

/**
 * express-session saves a session while the response is on its way, and sets the cookie in any case. With this store the response
 * waits until the session is stored, so that an error is an answer and the cookie is set only for a session that is there.
 */
function expressStore(session, { sessions, subject = () => undefined, moveFrom } = {}) {
  const manager = sessions ?? new SessionManager()
  if (moveFrom && !(moveFrom.until instanceof Date)) throw new TypeError('moveFrom needs `until`, a Date: when it ends')

  class DynamoDbStore extends session.Store {
    #generate
    /** For each session object of express-session, and each context of Koa, what the request knows of its session. */
    #known = new WeakMap()
    /** The moves that are under way, by ID: requests at once wait for the same one. */
    #moving = new Map()
    /** IDs of requests that came with one from before a renewal, until express-session has made a new session for them. */
    #superseded = new Set()
    #warn = fixationWarning('call logIn, or request.session.regenerate before')

    get sessions() {
      return manager
    }

    // express-session assigns its own function, for each middleware that has this store.
    set generate(generate) {
      this.#generate = generate
    }

    get generate() {
      return (request) => {
        const cookie = request.sessionID
        this.#generate(request)
        const known = this.#knows(request, manager.request(undefined, request.sessionID), request.session)
        known.isNew = true
        known.isSuperseded = this.#superseded.delete(cookie)
      }
    }

    #knows(request, opened, created, said) {
      const known = { request: opened, said, keepsAlive: !manager.isPassive(pathOf(request)) }
      this.#known.set(created, known)
      opened.cameFrom(clientOfRequest(request))
      cut(created.cookie, manager.maxTimeoutSeconds)
      this.#waitForTheSession(request)
      return known
    }

    get(id, callback, koa) {
      return answer(callback, async () => {
        const opened = await this.#open(id)
        if (opened.isSuperseded && this.#generate) this.#superseded.add(id)
        if (!opened.record) return null
        if (koa?.ctx) return this.#useInKoa(koa.ctx, opened)
        const data = dataOf(opened.record)
        if (isBelowASecond(data.cookie) && new Date(data.cookie.expires) <= new Date()) return null
        data.cookie[READ] = { request: opened, said: subjectOf(subject(data)), keepsAlive: true }
        return Object.defineProperty(data, LOADED, { value: opened })
      })
    }

    /** koa-session says nothing at the end of a request that changes nothing. So a request uses its session here. */
    async #useInKoa(ctx, opened) {
      const { json } = opened.record
      const data = JSON.parse(json)
      const known = { request: opened, said: subjectOf(subject(data)), keepsAlive: !manager.isPassive(pathOf(ctx.request)) }
      this.#known.set(ctx, known)
      await opened.finish(json, { lifetime: 'keep', keepsAlive: known.keepsAlive })
      return data
    }

    async #open(id) {
      const opened = manager.request(id)
      await opened.open()
      const isUnknown = !opened.record && !opened.isSuperseded
      if (!isUnknown || !moveFrom || new Date() >= moveFrom.until) return opened
      if (!this.#moving.has(id)) this.#moving.set(id, this.#move(id).finally(() => this.#moving.delete(id)))
      await this.#moving.get(id)
      const moved = manager.request(id) // also if the old store had none: another process may have moved it just now
      await moved.open()
      return moved
    }

    /** Moves a session from the other store. It is deleted there first: a copy would outlive a logout. */
    async #move(id) {
      const old = (verb) => new Promise((resolve, reject) => moveFrom.store[verb](id, (error, data) => (error ? reject(error) : resolve(data))))
      const data = await old('get')
      if (!data) return
      await old('destroy')
      const options = { subject: subjectOf(subject(data)), idleTimeoutSeconds: lifetimeOf(data.cookie) }
      try {
        await manager.createUnderGivenId(id, new RawJson(textOf(data)), options)
      } catch (error) {
        if (error.code !== 'ID_IN_USE') throw error // otherwise another process has moved it
      }
    }

    createSession(request, data) {
      const opened = data[LOADED] ?? manager.request(request.sessionID)
      const created = super.createSession(request, data)
      this.#knows(request, opened, created, subjectOf(subject(created)))
      return created
    }

    /** koa-session passes a `maxAge` in the place of the callback. */
    set(id, data, callback, koa) {
      return answer(callback, async () => {
        const known = this.#known.get(data) ?? (await this.#knownElsewhere(id, data, koa?.ctx))
        await this.#store(known, data, koa?.ctx ? { originalMaxAge: callback } : data.cookie)
      })
    }

    /** What a request of Koa or Fastify knows of the session that it stores, or a program. */
    async #knownElsewhere(id, data, ctx) {
      const { request, read } = ctx ? { request: ctx.request, read: this.#known.get(ctx) } : inFastify(data)
      const known = read?.request.record?.id === id ? read : await this.#knownUnder(id)
      if (request) {
        known.request.cameFrom(clientOfRequest(request))
        known.keepsAlive = !manager.isPassive(pathOf(request))
      }
      return known
    }

    /** For programs that write a session which they did not load as a request: the ID may be a new one, also when they write twice. */
    async #knownUnder(id) {
      const opened = manager.request(id, id)
      await opened.open()
      const { isSuperseded, record } = opened
      return { request: opened, isSuperseded, isNew: true, said: record?.subject, keepsAlive: true }
    }

    /** Stores a session. Returns whether the response may set the cookie. */
    async #store(known, data, cookie = data.cookie) {
      if (known.isRefused) return false // the response says so already
      if (known.isSuperseded) throw new NotFoundError('the session has another ID by now')
      cut(cookie, manager.maxTimeoutSeconds)
      const said = subjectOf(subject(data))
      const change = said === known.said ? undefined : (said ?? '')
      if (change && !known.isNew) this.#warn()
      const sent = await known.request.finish(textOf(data), {
        lifetime: lifetimeOf(cookie),
        subject: change,
        keepsAlive: known.keepsAlive,
      })
      known.said = said
      known.isNew = false
      return sent?.id !== undefined
    }

    destroy(id, callback) {
      return answer(callback, async () => {
        await manager.clear(id)
      })
    }

    /** No request: what a request that changes nothing does to the session is done before its response. */
    touch(id, data, callback) {
      callback?.()
    }

    /** Lets the response wait until the session is stored. `request.res` is Express's. */
    #waitForTheSession(request) {
      const response = request.res
      if (!response || request[WAITS]) return
      request[WAITS] = true
      const { write, end, writeHead } = response
      let waiting = [] // calls of write and end
      let state = 'open'
      let setsCookie = true

      const finish = async () => {
        state = 'waiting'
        const known = request.session && this.#known.get(request.session)
        try {
          setsCookie = known ? await this.#finish(known, request.session) : true
          state = 'done'
        } catch (error) {
          known.isRefused = true
          setsCookie = false
          state = 'refused'
          waiting = [[end, [refusal(response, error)]]]
        }
        try {
          for (const [method, values] of waiting) method.apply(response, values)
        } catch (error) {
          // Such as that of a cookie which cannot be written.
          if (response.headersSent) return response.destroy(error)
          setsCookie = false
          end.call(response, refusal(response, error))
        }
        response.emit('drain')
      }
      const later = (method) =>
        function (...values) {
          if (state === 'refused') return true
          if (state === 'done' || response.headersSent) return method.apply(response, values)
          waiting.push([method, values])
          if (state === 'open') finish()
          return method === end ? response : false
        }
      response.write = later(write)
      response.end = later(end)
      response.writeHead = function (...values) {
        // express-session sets the cookie of a session that is there; one that ends by time, only with data that has changed.
        const { session } = request
        const extends_ = setsCookie && session?.cookie?.expires && !Object.hasOwn(session, EXTENDED)
        if (!setsCookie) request.session = undefined
        if (extends_) session[EXTENDED] = true
        try {
          return writeHead.apply(response, values)
        } finally {
          if (extends_) delete session[EXTENDED]
          request.session = session
        }
      }
    }

    async #finish(known, data) {
      const isEmpty = known.isNew && Object.keys(data).every((key) => key === 'cookie')
      if (isEmpty) return !known.isSuperseded // express-session stores it, if it is told to
      return this.#store(known, data)
    }

    /** Logs a user in: see `logIn`. */
    async logIn(request, user, changes) {
      await this.#moveToNewId(request, (known) => known.logIn(user, textOf(request.session), changes, lifetimeOf(request.session.cookie)))
    }

    /** Gives the session a new ID: see `renew`. */
    async renew(request) {
      if (await this.recordOf(request)) await this.#moveToNewId(request, (known) => known.renew(textOf(request.session)))
    }

    async #moveToNewId(request, move) {
      const known = this.#known.get(request.session)
      if (!known) throw new TypeError('the request has no session of this store')
      try {
        await move(known.request)
      } catch (error) {
        known.isRefused = true
        this.#forget(request.session, known.request.record)
        throw error
      }
      const { record } = known.request
      request.sessionID = record.id
      this.createSession(request, Object.defineProperty(dataOf(record), LOADED, { value: known.request }))
    }

    /** After a login or a renewal that has failed: the session is as it was before the request, and nothing of this request is stored. */
    #forget(data, record) {
      for (const key of Object.keys(data)) if (key !== 'cookie') delete data[key]
      if (!record) return
      const { cookie: _, ...stored } = JSON.parse(record.json)
      Object.assign(data, stored)
    }

    /** The record of a request's session. */
    async recordOf(request) {
      const known = this.#known.get(request.session)
      return known ? known.request.record : manager.peek(idOf(request)) // other frameworks have session objects of their own
    }

    /** The live sessions of a user, the last used first. */
    async sessionsOf(user, { current } = {}) {
      return manager.sessionsOf(user, { current: current && (await this.recordOf(current)) })
    }

    /** Ends one session of a user, by its name in the list. */
    revoke(user, name) {
      return manager.revokeNamed(user, name)
    }

    /** Ends all sessions of a user, or all but the one of a request. */
    async logOutEverywhere(user, { except } = {}) {
      const record = except && (await this.recordOf(except))
      return manager.revokeAll(user, record ? { except: record } : {})
    }
  }

  return new DynamoDbStore()
}

const WAITS = Symbol('waits for the session')

/** A key that a session has while its cookie is set. */
const EXTENDED = '(extended)'

/**
 * Logs a user in: the session gets a new ID and the changes, and is the user's from then on, all in one transaction. When it
 * fails, the user is not logged in, and nothing of this request is stored.
 */
async function logIn(request, user, changes = {}) {
  if (typeof request.sessionStore?.logIn !== 'function') throw new TypeError('logIn takes a request of express-session with expressStore')
  await request.sessionStore.logIn(request, user, changes)
}

/** Gives the session of a request a new ID: see index.d.ts. */
async function renew(request) {
  if (typeof request.sessionStore?.renew !== 'function') throw new TypeError('renew takes a request of express-session with expressStore')
  await request.sessionStore.renew(request)
}

/** Notes that the user of a request has proved once more who they are: the session keeps its ID. */
async function confirmLogin(request) {
  await request.sessionStore.sessions.confirmLogin(idOf(request))
}

/**
 * A middleware that lets a request pass whose user has logged in within so many minutes. The others get 401, or what `otherwise`, a
 * middleware too, answers: a page that asks for the password.
 */
function requiresLoginWithin(minutes, otherwise = (request, response) => response.status(401).type('text/plain').send('Log in again.')) {
  return (request, response, next) => {
    const store = request.sessionStore
    store.recordOf(request).then((record) => {
      const passes = store.sessions.isLoggedInWithin(record, minutes)
      return passes ? next() : otherwise(request, response, next)
    }, next)
  }
}

/** A session of @fastify/session has, under symbols of its own, the request and what was in the cookie. */
function inFastify(session) {
  const parts = Object.getOwnPropertySymbols(session).map((symbol) => session[symbol])
  return { request: parts.find((part) => part?.raw?.url), read: parts.find((part) => part?.[READ])?.[READ] }
}

function idOf(request) {
  return request.sessionID ?? request.session?.sessionId ?? request.session?.externalKey ?? ''
}

function clientOfRequest(request) {
  return clientOf((name) => request.headers?.[name], request.ip ?? request.socket?.remoteAddress)
}

function pathOf(request) {
  return new URL(request.originalUrl ?? request.url ?? '/', 'http://path').pathname
}

/** Makes a response say that its session could not be stored. Returns its text. */
function refusal(response, error) {
  const [status, text] = ANSWERS[error.code] ?? [500, 'Internal Server Error']
  if (status === 500) process.emitWarning(error)
  for (const name of response.getHeaderNames()) response.removeHeader(name) // a cookie may say that the user is logged in
  response.statusCode = status
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  if (status === 503) response.setHeader('retry-after', '1')
  return text
}

/** Gives the outcome to a callback, outside of the promise: what it throws is the program's own. Without one, returns the promise. */
function answer(callback, act) {
  const done = act()
  if (typeof callback !== 'function') return done
  done.then(
    (value) => process.nextTick(callback, null, value),
    (error) => process.nextTick(callback, error),
  )
}

module.exports = { confirmLogin, expressStore, logIn, renew, requiresLoginWithin }
