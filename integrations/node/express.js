'use strict'
// A store for express-session, @fastify/session and koa-session.

const { EventEmitter } = require('node:events')
const { RawJson, subjectOf } = require('./arguments.js')
const { NotFoundError } = require('./errors.js')
const fastify = require('./fastify.js')
const koa = require('./koa.js')
const { SessionManager } = require('./manager.js')
const { clientOf, fixationWarning } = require('./request.js')
const { cut, dataOf, isBelowASecond, lifetimeOf, textOf } = require('./stored.js')
const { waitForTheSession } = require('./waiting.js')

/** Marks what `get` returns, until express-session makes its own object of it. */
const LOADED = Symbol('loaded')

/** `session` is the middleware that the store is for. koa-session has no class for stores. */
function expressStore(session, { sessions, subject = () => undefined, moveFrom } = {}) {
  const manager = sessions ?? new SessionManager()
  if (moveFrom && !(moveFrom.until instanceof Date)) throw new TypeError('moveFrom needs `until`, a Date: when it ends')
  const { Store = EventEmitter } = session

  class DynamoDbStore extends Store {
    #generate
    /** For each session object of Express and Fastify, and each context of Koa, what the request knows of its session. */
    #known = new WeakMap()
    /** What @fastify/session is about to get, by ID: sessions that a login or a renewal has just made. */
    #moved = new Map()
    /** The plugin for Fastify. */
    fastify = fastify.plugin(session, this, (request) => this.#knownOf(request))
    /** The moves that are under way, by ID: requests at once wait for the same one. */
    #moving = new Map()
    /** IDs from before a renewal that requests came with, until express-session has made a new session for them. */
    #superseded = new Set()
    /** The same by the ID of the new session, until the response is sent. */
    #presented = new Map()
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
        if (known.isSuperseded) this.#notePresented(request, cookie)
      }
    }

    #notePresented({ res: response, sessionID }, cookie) {
      if (!response) return
      this.#presented.set(sessionID, cookie)
      response.once('close', () => this.#presented.delete(sessionID))
    }

    #knows(request, opened, created, said) {
      const known = { request: opened, said, keepsAlive: !manager.isPassive(pathOf(request)) }
      this.#known.set(created, known)
      opened.cameFrom(clientOfRequest(request))
      cut(created.cookie, manager.maxTimeoutSeconds)
      waitForTheSession(request, async (session) => {
        const known = this.#known.get(session)
        if (!known) return { setsCookie: true }
        try {
          return { setsCookie: await this.#finish(known, session) }
        } catch (error) {
          known.isRefused = true
          if (known.hasNewId) hold(session, known.request.record) // the login is stored, so the cookie is set
          return { setsCookie: known.hasNewId, error }
        }
      })
      return known
    }

    get(id, callback, options) {
      return answer(callback, async () => {
        const opened = this.#moved.get(id) ?? (await this.#open(id))
        if (options?.ctx) return this.#inKoa(options.ctx, id, opened)
        const { isSuperseded, record } = opened
        if (isSuperseded && this.#generate) this.#noteSuperseded(id)
        if (isSuperseded && this.fastify.isRegistered) return { cookie: fastify.read({ id, request: opened, isSuperseded }) }
        if (!record) return null
        const data = dataOf(record)
        if (isBelowASecond(data.cookie) && new Date(data.cookie.expires) <= new Date()) return null
        const said = subjectOf(subject(data))
        Object.assign(data.cookie, fastify.read({ id, request: opened, isFromCookie: true, said, keepsAlive: true }))
        return Object.defineProperty(data, LOADED, { value: opened })
      })
    }

    #noteSuperseded(id) {
      if (this.#superseded.size >= 1000) this.#superseded.clear() // a program has asked for them
      this.#superseded.add(id)
    }

    #inKoa(ctx, id, opened) {
      const { isSuperseded, record } = opened
      const data = record ? koa.dataOf(record) : null
      const keepsAlive = !manager.isPassive(pathOf(ctx))
      const said = data ? subjectOf(subject(data)) : undefined
      this.#known.set(ctx, { id: isSuperseded ? undefined : id, presented: id, request: opened, isFromCookie: true, isSuperseded, said, keepsAlive })
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
      const known = this.#knows(request, opened, created, subjectOf(subject(created)))
      Object.assign(known, { isFromCookie: true, maxAge: created.cookie?.originalMaxAge })
      return created
    }

    /** koa-session passes a `maxAge` in the place of the callback. */
    set(id, data, callback, options) {
      return answer(callback, async () => {
        const ctx = options?.ctx
        const known = this.#known.get(data) ?? (await this.#knownElsewhere(id, data, ctx))
        if (!ctx) return void (await this.#store(known, data))
        koa.cut(ctx.sessionOptions, manager.maxTimeoutSeconds)
        koa.setCookie(ctx, await this.#store(known, koa.storedOf(data), koa.cookieOf(callback, manager.maxTimeoutSeconds)))
      })
    }

    /** What a request of Koa or Fastify knows of the session that it stores, or a program. */
    async #knownElsewhere(id, data, ctx) {
      const request = ctx ?? fastify.requestOf(data)
      const read = ctx ? this.#known.get(ctx) : fastify.readIn(data)
      const known = read && (read.id ?? id) === id ? read : await this.#knownUnder(id)
      if (request) {
        this.#known.set(ctx ?? data, known)
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
      return { id, request: opened, isSuperseded, said: record?.subject, keepsAlive: true }
    }

    /** Stores a session. Returns whether the response may set the cookie. */
    async #store(known, data, cookie = data.cookie) {
      if (known.isRefused || (known.isSuperseded && isEmpty(data))) known.setsCookie = false
      else if (known.isSuperseded) throw new NotFoundError('the session has another ID by now')
      else await this.#finishRequest(known, data, cookie)
      return known.setsCookie
    }

    async #finishRequest(known, data, cookie) {
      cut(cookie, manager.maxTimeoutSeconds)
      const said = subjectOf(subject(data))
      const change = said === known.said ? undefined : (said ?? '')
      if (change && known.isFromCookie) this.#warn()
      try {
        const end = { lifetime: lifetimeOf(cookie), subject: change, keepsAlive: known.keepsAlive }
        const sent = await known.request.finish(textOf(data), end)
        known.setsCookie ||= sent?.id !== undefined
      } catch (error) {
        const isLogout = change === '' && error.code === 'NOT_FOUND'
        if (!isLogout) throw error
        await known.request.logOut() // the session has ended, or has another ID by now: that one ends
        Object.assign(known, { isRefused: true, setsCookie: false })
      }
      Object.assign(known, { said, isNew: false, isStored: true })
    }

    /** koa-session passes its context in the place of the callback. A request with an ID from before a renewal ends the session too. */
    destroy(id, callback) {
      return answer(callback, async () => {
        const ctx = callback?.ctx
        const known = ctx && this.#known.get(ctx)
        if (known?.isMoving) return // the session has another ID already
        await manager.clear((known?.isSuperseded ? known.presented : this.#presented.get(id)) ?? id)
        if (ctx) this.#known.delete(ctx)
      })
    }

    /** No request in Express: what a request that changes nothing does to the session is done before its response. */
    touch(id, data, callback) {
      const known = this.#known.get(data)
      if (!known || known.isFinished) return callback?.()
      const { record } = known.request
      const isSame = record && !known.isStored && known.maxAge === data.cookie.originalMaxAge
      const { keepsAlive } = known
      answer(callback, () => (isSame ? known.request.finish(record.json, { lifetime: 'keep', keepsAlive }) : this.#store(known, data)))
    }

    async #finish(known, data) {
      known.isFinished = true
      if (known.isNew && isEmpty(data)) return !known.isSuperseded // express-session stores it, if it is told to
      return this.#store(known, data)
    }

    /** What a request knows of its session. A request of Koa is its context. */
    #knownOf(request) {
      const { session } = request
      if (koa.isContext(request)) {
        const known = this.#known.get(request)
        const isRejected = known?.isFromCookie && !known.isSuperseded && session?.externalKey !== known.id // by the option `valid`
        return isRejected ? undefined : known
      }
      const read = fastify.readIn(session)
      return this.#known.get(session) ?? (read?.id === session?.sessionId ? read : undefined)
    }

    /** Logs a user in: see `logIn`. */
    async logIn(request, user, changes) {
      await this.#moveToNewId(request, (opened, { json, added, lifetime }) => {
        requirePlaceFor(changes, request.session)
        return opened.logIn(user, json, { ...changes, ...added }, lifetime)
      })
    }

    /** Gives the session a new ID: see `renew`. */
    async renew(request) {
      if (await this.recordOf(request)) await this.#moveToNewId(request, (opened, { json }) => opened.renew(json))
    }

    async #begin(request) {
      if (koa.isContext(request)) request.session = {}
      else if (fastify.isRequest(request)) await fastify.begin(request)
      else if (this.#generate) this.generate(request)
    }

    async #moveToNewId(request, move) {
      const isKoa = koa.isContext(request)
      if (!request.session) await this.#begin(request) // it was destroyed
      if (isKoa) koa.requireKeys(request)
      else if (!request.session?.cookie) throw new TypeError('the request has no session')
      const known = this.#knownOf(request) ?? { request: manager.request() }
      known.request.cameFrom(clientOfRequest(request))
      const { session } = request
      const now = isKoa ? koa.now(request, manager.maxTimeoutSeconds) : { json: textOf(session), added: {}, lifetime: lifetimeOf(session.cookie) }
      try {
        await move(known.request, now)
      } catch (error) {
        known.isRefused = true
        this.#known.set(isKoa ? request : session, known)
        hold(session, known.request.record)
        throw error
      }
      if (isKoa) await this.#moveInKoa(request, known)
      else if (fastify.isRequest(request)) await this.#moveInFastify(request, known.request)
      else this.#moveInExpress(request, known.request)
    }

    #moveInExpress(request, opened) {
      const { record } = opened
      request.sessionID = record.id
      const created = this.createSession(request, Object.defineProperty(dataOf(record), LOADED, { value: opened }))
      this.#known.get(created).hasNewId = true
    }

    async #moveInFastify(request, opened) {
      const { id } = opened.record
      this.#moved.set(id, opened)
      try {
        await fastify.moveTo(request, id)
        this.#knownOf(request).hasNewId = true
      } finally {
        this.#moved.delete(id)
      }
    }

    async #moveInKoa(ctx, { request, keepsAlive }) {
      const { id } = request.record
      hold(ctx.session, request.record)
      const known = { id, request, said: subjectOf(subject(ctx.session)), keepsAlive, isMoving: true }
      this.#known.set(ctx, known)
      try {
        await koa.moveTo(ctx, id)
      } finally {
        known.isMoving = false
      }
    }

    /** The record of a request's session. */
    async recordOf(request) {
      const known = this.#knownOf(request)
      return known && !known.isStored ? known.request.record : manager.peek(known?.id ?? idOf(request))
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

/** Makes a session hold what is stored, and nothing else. */
function hold(session, record) {
  const stored = record ? JSON.parse(record.json) : {}
  delete stored.cookie
  const now = typeof session.toJSON === 'function' ? session.toJSON() : session
  for (const key of Object.keys(now)) if (key !== 'cookie') delete session[key]
  for (const [key, value] of Object.entries(stored)) Reflect.set(session, key, value) // koa-session passes over keys of its own too
}

/** What the session libraries add to the data. */
const ADDED = ['cookie', '_expire', '_maxAge', '_session']

function isEmpty(data) {
  return Object.keys(data).every((key) => ADDED.includes(key))
}

/** A login must not fail after it is stored, because the session object has methods of these names. */
function requirePlaceFor(changes, session) {
  const taken = Object.keys(changes).find((key) => key === 'cookie' || key in Object.getPrototypeOf(session))
  if (taken !== undefined) throw new TypeError(`the session library uses the key ${taken} itself`)
}

function idOf(request) {
  return request.sessionID ?? request.session?.sessionId ?? request.session?.externalKey ?? ''
}

function clientOfRequest(request) {
  return clientOf((name) => request.headers?.[name], request.ip ?? request.socket?.remoteAddress)
}

function pathOf(request) {
  return (request.originalUrl ?? request.url ?? '/').split('?', 1)[0]
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

module.exports = { expressStore }
