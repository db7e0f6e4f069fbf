'use strict'
// The data of a session of express-session as it is stored, and what its cookie says about its lifetime.

/** The data of a record, with the end of its cookie. */
function dataOf(record) {
  const data = JSON.parse(record.json)
  if (typeof data.cookie !== 'object' || data.cookie === null) data.cookie = {} // of another program
  const lives = typeof data.cookie.originalMaxAge === 'number' && !isBelowASecond(data.cookie)
  if (lives) data.cookie.expires = endOf(record, data.cookie).toISOString()
  return data
}

/** A record's deadline is in whole seconds. That of a session which was used in this second is known to the millisecond. */
function endOf(record, cookie) {
  const ofThisUse = new Date(Date.now() + cookie.originalMaxAge)
  const later = ofThisUse - record.expires
  return later >= 0 && later < 1000 ? ofThisUse : record.expires
}

/** A record lives for whole seconds. */
function isBelowASecond(cookie) {
  return typeof cookie?.originalMaxAge === 'number' && cookie.originalMaxAge < 1000
}

/** The data as it is stored: when the cookie ends follows from the record, unless that is below a second. */
function textOf(data) {
  return JSON.stringify(data, function (key, value) {
    if (this !== data || key !== 'cookie') return value
    const { expires, ...cookie } = typeof value?.toJSON === 'function' ? value.toJSON() : { ...value }
    return isBelowASecond(cookie) ? { ...cookie, expires } : cookie
  })
}

/** `cookie.maxAge` is the idle timeout. Without it, that is the session manager's. */
function lifetimeOf(cookie) {
  const milliseconds = cookie?.originalMaxAge
  return Number.isFinite(milliseconds) ? Math.max(0, milliseconds / 1000) : undefined
}

/** A cookie does not outlive the longest session, and one whose age is no number lives as long as the browser. */
function cut(cookie, maxSeconds) {
  if (cookie && !Number.isFinite(cookie.originalMaxAge ?? 0)) cookie.maxAge = null
  else if (cookie?.originalMaxAge > maxSeconds * 1000) cookie.maxAge = maxSeconds * 1000
}

module.exports = { cut, dataOf, isBelowASecond, lifetimeOf, textOf }
