'use strict'
// Web sessions in DynamoDB. `index.d.ts` documents what is exported.

const { RawJson } = require('./arguments.js')
const {
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
} = require('./errors.js')
const { SessionManager, serveEmbeddedDynamoDb } = require('./manager.js')
const { ManualClock } = require('./native.js')
const { Session } = require('./session.js')

/** What a framework needs is loaded when it is used: that is a seventh of the time to the first load. */
const later =
  (load, name) =>
  (...given) =>
    load()[name](...given)
const express = () => require('./express.js')
const fetch = () => require('./fetch.js')
const login = () => require('./login.js')
const expressStore = later(express, 'expressStore')
const confirmLogin = later(login, 'confirmLogin')
const logIn = later(login, 'logIn')
const renew = later(login, 'renew')
const requiresLoginWithin = later(login, 'requiresLoginWithin')
const fetchSessions = later(fetch, 'fetchSessions')
const sessionStorage = later(fetch, 'sessionStorage')

// One by one, so that `import { SessionManager }` finds them.
module.exports = {
  ManualClock,
  RawJson,
  Session,
  SessionManager,
  serveEmbeddedDynamoDb,
  expressStore,
  confirmLogin,
  logIn,
  renew,
  requiresLoginWithin,
  fetchSessions,
  sessionStorage,
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
