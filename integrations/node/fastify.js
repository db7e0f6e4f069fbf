'use strict'
// @fastify/session. A store sees of a request only the session object, which has the rest under symbols of its own.

const { promisify } = require('node:util')

/** What the request has read. @fastify/session copies what `get` returns, and keeps of it only data and cookie. */
const READ = Symbol('read')

function partOf(session, is) {
  const parts = Object.getOwnPropertySymbols(session ?? {}).map((symbol) => session[symbol])
  return parts.find((part) => part && is(part))
}

/** A part of the cookie. */
function read(known) {
  return { [READ]: known }
}

function readIn(session) {
  return partOf(session, (part) => part[READ])?.[READ]
}

function requestOf(session) {
  return partOf(session, (part) => part.raw?.url)
}

function isRequest(request) {
  return typeof request.server?.decryptSession === 'function'
}

/** Gives a request whose session was destroyed a new one. */
async function begin(request) {
  await promisify(request.server.decryptSession)('', request)
}

/** Gives the request the session with this ID. The response sets its cookie. */
async function moveTo(request, id) {
  const signer = partOf(request.session, (part) => part.unsign)
  await promisify(request.server.decryptSession)(signer.sign(id), request)
  await request.session.save()
}

/**
 * Registers @fastify/session, and before its `onSend` a hook of ours: it sets a cookie, or deletes one, whatever has become of the
 * session.
 */
function plugin(middleware, store, knownOf) {
  const register = async (app, options) => {
    if (middleware[Symbol.for('plugin-meta')]?.name !== '@fastify/session') {
      throw new TypeError("the plugin takes a store that was made by expressStore(require('@fastify/session'))")
    }
    register.isRegistered = true
    const ended = new WeakSet() // an error of the hook is another response, with the same session
    app.addHook('onSend', async (request, reply) => {
      const { session } = request
      if (!session?.encryptedSessionId || ended.has(session)) return
      ended.add(session)
      const known = knownOf(request)
      const isWanted = known || (!isInsecure(request) && (options.saveUninitialized || session.isModified()))
      let setsCookie = false
      try {
        if (isWanted) {
          await session.save()
          session.cookie.toJSON() // what is no cookie any more fails here, and not in a callback of @fastify/session
          setsCookie = knownOf(request).setsCookie
        }
      } catch (error) {
        setsCookie = known?.hasNewId // the login is stored
        if (known) known.isRefused = true
        const isTold = known?.isSuperseded && reply.statusCode >= 400 // the handler has failed anyhow
        if (!isTold) throw error
      } finally {
        // Without an ID @fastify/session leaves the cookie alone, and with changes it sets it.
        const [name, value] = setsCookie ? ['isModified', () => true] : ['encryptedSessionId', undefined]
        Object.defineProperty(session, name, { value, configurable: true })
      }
    })
    await app.register(middleware, { store, saveUninitialized: false, ...options })
  }
  return Object.assign(register, { [Symbol.for('skip-override')]: true, [Symbol.for('fastify.display-name')]: 'dynamodb-web-session' })
}

/** @fastify/session stores no session whose cookie the connection cannot carry. */
function isInsecure({ session, protocol }) {
  return session.cookie.secure === true && protocol !== 'https'
}

module.exports = { begin, isRequest, moveTo, plugin, read, readIn, requestOf }
