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
const { confirmLogin, expressStore, logIn, renew, requiresLoginWithin } = require('./express.js')
const { fetchSessions, sessionStorage } = require('./fetch.js')
const { SessionManager, serveEmbeddedDynamoDb } = require('./manager.js')
const { ManualClock } = require('./native.js')
const { Session } = require('./session.js')

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
