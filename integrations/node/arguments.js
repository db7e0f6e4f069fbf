'use strict'
// What callers give, checked and as the addon takes it.

const { InvalidDataError } = require('./errors.js')

class RawJson {
  constructor(text) {
    requireType('JSON text', text, 'string')
    this.text = text
  }

  toString() {
    return this.text
  }
}

function toJson(data) {
  if (data instanceof RawJson) return data.text
  let text
  try {
    text = JSON.stringify(data)
  } catch (cause) {
    // A value of the program may throw anything from its toJSON.
    throw new InvalidDataError(`JSON.stringify does not support the data: ${cause?.message}`, { cause })
  }
  if (text === undefined) throw new InvalidDataError(`JSON has no value for data of type ${typeof data}`)
  return text
}

function requireType(name, value, type) {
  if (typeof value !== type) throw new TypeError(`${name} must be a ${type}; it is a ${typeof value}`)
}

const OPTIONS = { idleTimeoutSeconds: 'number', absoluteTimeoutSeconds: 'number', label: 'string', ifMatch: 'string' }

/** What a create, a login and an update may set besides data. */
const PARTS = ['idleTimeoutSeconds', 'absoluteTimeoutSeconds', 'label', 'context']

/** The options that are given, each of which must be one of `allowed` and of its type. */
function options(given, ...allowed) {
  for (const [name, value] of Object.entries(given)) {
    if (!allowed.includes(name)) throw new TypeError(`there is no option ${name}`)
    if (name === 'subject') given = { ...given, subject: subjectOf(value) }
    if (name === 'context') given = { ...given, context: value === undefined || value === '' ? value : toJson(value) }
    if (value !== undefined && OPTIONS[name]) requireType(name, value, OPTIONS[name])
  }
  return given
}

/** Whose session it is, as a text: numbers, UUIDs and ObjectIds are what String() makes of them. undefined: nobody's. */
function subjectOf(user) {
  // Its text would be [object Object], the same for all users.
  if (typeof user === 'object' && user?.toString === Object.prototype.toString) {
    throw new TypeError('a user is named by an ID, such as user.id, not by an object')
  }
  return user === undefined || user === null || user === '' ? undefined : String(user)
}

function requireSubject(user) {
  const subject = subjectOf(user)
  if (subject === undefined) throw new TypeError('a user is needed: a text, or what String() makes one of')
  return subject
}

/** The settings as texts: `idleTimeoutSeconds` is `idle_timeout_seconds` in the crate. */
function texts({ clock, logger, ...settings }) {
  const given = {}
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined) continue
    const isList = Array.isArray(value) && value.every((each) => typeof each === 'string')
    const text = value instanceof Date ? value.toISOString() : isList ? value.join() : value
    if (!['string', 'number', 'boolean'].includes(typeof text)) {
      throw new TypeError(`${name} cannot be of type ${typeof value}`)
    }
    given[name.replace(/[A-Z]/g, '_$&').toLowerCase()] = String(text)
  }
  return given
}

/** What this package reads of process.env, which a worker and jest have their own of. */
function environment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => /^(SESSION|AWS)_/.test(name)))
}

module.exports = { PARTS, RawJson, environment, options, requireSubject, requireType, subjectOf, texts, toJson }
