'use strict'
// The session of a web request, for the frameworks.

const native = require('./native.js')
const { requireSubject, toJson } = require('./arguments.js')
const { call } = require('./reports.js')
const { Session } = require('./session.js')

/** Where a request comes from, by its headers. */
function clientOf(header, address) {
  return [address, header('user-agent'), header('sec-ch-ua'), header('sec-ch-ua-platform')].map((text) => text ?? undefined)
}

/** Warns once. */
function fixationWarning(advice) {
  let isGiven = false
  return () => {
    if (isGiven) return
    isGiven = true
    process.emitWarning(`a session got a user and kept its ID, which somebody may have planted: ${advice}`, {
      type: 'SecurityWarning',
      code: 'DYNAMODB_WEB_SESSION_FIXATION',
    })
  }
}

class RequestSession {
  #native
  #given
  #client = []

  constructor(...given) {
    this.#given = given
    this.record = undefined
    this.isSuperseded = false
  }

  #call(step, ...values) {
    return call(() => {
      this.#native ??= new native.NativeRequest(...this.#given)
      this.#native.cameFrom(...this.#client)
      return this.#native[step](...values)
    })
  }

  async open() {
    const opened = await this.#call('open')
    this.isSuperseded = opened.isSuperseded
    this.#took(opened.session())
  }

  #took(record) {
    this.record = record ? new Session(record, false) : undefined
    if (record) this.isSuperseded = false
  }

  /** Where the request comes from: what `clientOf` returns. */
  cameFrom(client) {
    this.#client = client
  }

  async confirmLogin() {
    this.#took(await this.#call('confirmLogin'))
  }

  /** A lifetime is a number of seconds, `'keep'` or undefined: as long as the settings say. */
  async logIn(user, json, changes, lifetime) {
    this.#took(await this.#call('logIn', requireSubject(user), json, toJson(changes), lifetime))
  }

  async renew(json) {
    this.#took(await this.#call('renew', json))
  }

  async logOut() {
    await this.#call('logOut')
    this.#took(undefined)
  }

  /**
   * Stores what has changed, and returns the cookie that the response may set: `id` and `maxAge`, what is left of the session in
   * seconds. Without an ID the cookie is deleted; undefined: it is left alone.
   */
  async finish(json, { lifetime, subject, keepsAlive = true, refreshes = true }) {
    return (await this.#call('finish', { json, lifetime, subject, keepsAlive, refreshes })) ?? undefined
  }
}

module.exports = { RequestSession, clientOf, fixationWarning }
