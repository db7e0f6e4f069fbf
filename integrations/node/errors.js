'use strict'
// The errors of this package. Each has a `code`; none holds a session ID or data.

class SessionError extends Error {}
SessionError.prototype.code = 'INTERNAL'

class NotFoundError extends SessionError {}
NotFoundError.prototype.code = 'NOT_FOUND'

class ChangedError extends SessionError {}
ChangedError.prototype.code = 'CHANGED'

class InvalidDataError extends SessionError {}
InvalidDataError.prototype.code = 'INVALID_DATA'

class DataTooLargeError extends InvalidDataError {}
DataTooLargeError.prototype.code = 'DATA_TOO_LARGE'

class InvalidTimeoutError extends SessionError {}
InvalidTimeoutError.prototype.code = 'INVALID_TIMEOUT'

class TooManySessionsError extends SessionError {}
TooManySessionsError.prototype.code = 'TOO_MANY_SESSIONS'

class RenewedTooOftenError extends SessionError {}
RenewedTooOftenError.prototype.code = 'RENEWED_TOO_OFTEN'

class IdInUseError extends SessionError {}
IdInUseError.prototype.code = 'ID_IN_USE'

class UnavailableError extends SessionError {}
UnavailableError.prototype.code = 'UNAVAILABLE'

class MisconfiguredError extends SessionError {}
MisconfiguredError.prototype.code = 'MISCONFIGURED'

class CorruptRecordError extends SessionError {}
CorruptRecordError.prototype.code = 'CORRUPT_RECORD'

class ConfigurationError extends SessionError {}
ConfigurationError.prototype.code = 'CONFIGURATION'

const classes = {
  SessionError,
  NotFoundError,
  ChangedError,
  InvalidDataError,
  DataTooLargeError,
  InvalidTimeoutError,
  TooManySessionsError,
  RenewedTooOftenError,
  IdInUseError,
  UnavailableError,
  MisconfiguredError,
  CorruptRecordError,
  ConfigurationError,
}

// Not from the classes themselves: a bundler may rename them.
for (const [name, each] of Object.entries(classes)) each.prototype.name = name

/** Status and text of the response to a request whose session could not be stored, by the code of the error. */
const ANSWERS = {
  UNAVAILABLE: [503, 'The session store is unavailable.'],
  TOO_MANY_SESSIONS: [409, 'You are logged in too often. Log out elsewhere first.'],
  CHANGED: [409, 'Other requests have changed the session meanwhile. Try again.'],
  NOT_FOUND: [400, 'The session has ended before the request was completed.'],
  RENEWED_TOO_OFTEN: [429, 'The session was renewed too often. Try again in a minute.'],
}

// Express, Koa and Fastify answer with the `status` of an error that a handler throws.
for (const each of Object.values(classes)) each.prototype.status = ANSWERS[each.prototype.code]?.[0] ?? 500

/** The error of this package for one of the addon, whose message begins with a code. */
function translated(error) {
  const [, code, message] = /^([A-Z_]+): ([^]*)$/.exec(error.message) ?? []
  if (code === 'INVALID_ARGUMENT') return new TypeError(message)
  const found = Object.values(classes).find((each) => each.prototype.code === code)
  return found ? new found(message) : error
}

module.exports = { ANSWERS, translated, ...classes }
