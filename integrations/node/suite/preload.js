'use strict'
// For run.js: in express-session's tests, `new session.MemoryStore()` is a store of this package.

const session = require(process.env.CHECKOUT)
const { SessionManager, expressStore } = require('..')

session.MemoryStore = function MemoryStore() {
  // MemoryStore's `touch` is at each request.
  return expressStore(session, { sessions: new SessionManager({ touchIntervalSeconds: 0 }) })
}
