'use strict'
// @fastify/session. A store sees of a request only the session object, which has the rest under symbols of its own.

const { promisify } = require('node:util')
const { NotFoundError } = require('./errors.js')

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
function plugin(session, store, knownOf) {
  const register = async (app, options) => {
    if (session[Symbol.for('plugin-meta')]?.name !== '@fastify/session') {
      throw new TypeError("the plugin takes a store that was made by expressStore(require('@fastify/session'))")
    }
    register.isRegistered = true
    app.addHook('onSend', async (request) => {
      const known = knownOf(request)
      if (!known) return
      const { isRefused, isSuperseded, maxAge } = known
      if (!isRefused && !isSuperseded) {
        // It looks for changes of the data only.
        if (maxAge !== undefined && maxAge !== request.session.cookie.originalMaxAge) await request.session.save()
        return
      }
      const hasChanges = request.session.isModified()
      request.session = {} // as it is before @fastify/session has a session
      if (isSuperseded && hasChanges) throw new NotFoundError('the session has another ID by now')
    })
    await app.register(session, { store, saveUninitialized: false, ...options })
  }
  return Object.assign(register, { [Symbol.for('skip-override')]: true, [Symbol.for('fastify.display-name')]: 'dynamodb-web-session' })
}

module.exports = { isRequest, moveTo, plugin, read, readIn, requestOf }
