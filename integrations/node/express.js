'use strict'
// A store for express-session.

const { SessionError } = require('./errors.js')
const { SessionManager } = require('./manager.js')

/** Marks what `get` returns, until express-session makes its own object of it. */
const SUBJECT = Symbol('subject')

/**
 * express-session makes IDs by itself. A session is created under such an ID only by the request in which it was made; a
 * `set` of any other request only saves, so it never brings back a session that was destroyed.
 */
function expressStore(session, { sessions, subject = () => undefined } = {}) {
  const manager = sessions ?? new SessionManager()

  class DynamoDbStore extends session.Store {
    /** The session objects that were made in this very request, and are not stored yet. */
    #generated = new WeakSet()
    /** The subjects of the session objects that were loaded or stored. */
    #subjects = new WeakMap()

    get sessions() {
      return manager
    }

    // express-session assigns its own function.
    set generate(generate) {
      Object.defineProperty(this, 'generate', {
        value: (request) => {
          generate(request)
          this.#generated.add(request.session)
        },
      })
    }

    get(id, callback) {
      answer(callback, async () => {
        const record = await manager.load(id)
        if (!record) return null
        const data = JSON.parse(record.json)
        if (typeof data?.cookie !== 'object' || data.cookie === null) data.cookie = {} // of another program
        return Object.defineProperty(data, SUBJECT, { value: record.subject })
      })
    }

    createSession(request, data) {
      const created = super.createSession(request, data)
      this.#subjects.set(created, data[SUBJECT])
      return created
    }

    set(id, data, callback) {
      answer(callback, async () => {
        const wanted = subject(data)
        const timeouts = timeoutsOf(data.cookie, manager.maxTimeoutSeconds)
        if (timeouts.idleTimeoutSeconds <= 0) {
          await manager.clear(id)
        } else if (this.#generated.has(data)) {
          await manager.createUnderGivenId(id, data, { subject: wanted, ...timeouts })
          this.#generated.delete(data)
          this.#subjects.set(data, wanted)
        } else {
          if (this.#subjects.has(data) && this.#subjects.get(data) !== wanted) {
            throw new SessionError('the subject of a session changes with its ID: call regenerate before')
          }
          await manager.update(id, { data, ...timeouts })
        }
      })
    }

    destroy(id, callback) {
      answer(callback, async () => {
        await manager.clear(id)
      })
    }

    /** No request: the load of the session has slid its deadline. */
    touch(id, data, callback) {
      callback?.()
    }

    /** Ends all sessions of a subject. */
    logOutEverywhere(subject) {
      return manager.revokeAll(subject)
    }
  }

  return new DynamoDbStore()
}

/** `cookie.maxAge` is the idle timeout. Without it, that is the session manager's. */
function timeoutsOf(cookie, max) {
  const milliseconds = cookie?.originalMaxAge
  return typeof milliseconds === 'number' ? { idleTimeoutSeconds: Math.min(Math.ceil(milliseconds / 1000), max) } : {}
}

/** Gives the outcome to a callback, outside of the promise: what it throws is the program's own. */
function answer(callback = () => {}, act) {
  act().then(
    (value) => process.nextTick(callback, null, value),
    (error) => process.nextTick(callback, error),
  )
}

module.exports = { expressStore }
