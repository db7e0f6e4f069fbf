'use strict'
// What an application does with the session of a request of Express, Fastify or Koa. A request of Koa is its context.

const koa = require('./koa.js')

/**
 * Logs a user in: the session gets a new ID and the changes, and is the user's from then on, all in one transaction. When it
 * fails, the user is not logged in, and nothing of this request is stored.
 */
async function logIn(request, user, changes = {}) {
  await storeOf(request).logIn(request, user, changes)
}

/** Gives the session of a request a new ID: see index.d.ts. */
async function renew(request) {
  await storeOf(request).renew(request)
}

/** Notes that the user of a request has proved once more who they are: the session keeps its ID. */
async function confirmLogin(request) {
  const store = storeOf(request)
  const record = await store.recordOf(request)
  await store.sessions.confirmLogin(record ?? '')
}

/** The store of a request, which is for Koa its context. */
function storeOf(request) {
  const store = request.sessionStore ?? request.sessionOptions?.store
  if (typeof store?.logIn !== 'function') throw new TypeError('this takes a request with a session of expressStore; of Koa the context')
  return store
}

/**
 * A middleware that lets a request pass whose user has logged in within so many minutes. The others get 401, or what `otherwise`, a
 * middleware too, answers: a page that asks for the password.
 */
function requiresLoginWithin(minutes, otherwise = askToLogIn) {
  const isRecent = async (request) => {
    const store = storeOf(request)
    return store.sessions.isLoggedInWithin(await store.recordOf(request), minutes)
  }
  return (request, response, next) => {
    if (koa.isContext(request)) return isRecent(request).then((passes) => (passes ? response() : otherwise(request, response))) // ctx, next
    isRecent(request).then((passes) => (passes ? next() : otherwise(request, response, next)), next)
  }
}

function askToLogIn(request, response) {
  if (koa.isContext(request)) request.throw(401, 'Log in again.')
  response.status(401).type('text/plain').send('Log in again.')
}

module.exports = { confirmLogin, logIn, renew, requiresLoginWithin }
