'use strict'
// koa-session.

const { lifetimeOf } = require('./stored.js')

const A_DAY = 24 * 60 * 60 * 1000

/** koa-session lets a record live for so long after its cookie. */
const LONGER = 10_000

/** What koa-session had as `externalKey`. */
const BEFORE = Symbol('before')

function isContext(request) {
  return request.sessionOptions !== undefined
}

/** The data of a record, with the end of its cookie. koa-session saves it in any case: otherwise the end of the request says nothing. */
function dataOf(record) {
  const data = JSON.parse(record.json)
  if (typeof data._maxAge === 'number') data._expire = record.expires - LONGER
  data._requireSave = true
  return data
}

/** The data as it is stored: when the cookie ends follows from the record. */
function storedOf({ _expire, ...data }) {
  return data
}

/** A cookie does not outlive the longest session. */
function cut(options, maxSeconds) {
  if (options.maxAge > maxSeconds * 1000) options.maxAge = maxSeconds * 1000
}

/** The session of a request as koa-session would store it now. */
function now({ session, sessionOptions }, maxSeconds) {
  cut(sessionOptions, maxSeconds)
  const maxAge = sessionOptions.maxAge || A_DAY
  const added = maxAge === 'session' ? { _session: true } : { _maxAge: maxAge }
  return { json: JSON.stringify(session), added, lifetime: lifetimeOf(cookieOf(maxAge + LONGER, maxSeconds)) }
}

/** The cookie of a session that is stored with this `maxAge`. */
function cookieOf(maxAge, maxSeconds) {
  return { originalMaxAge: Math.min(maxAge, maxSeconds * 1000) }
}

/** What would fail after a login has to fail before it. */
function requireKeys(ctx) {
  if (ctx.sessionOptions.signed && !ctx.cookies.keys) throw new TypeError('koa-session signs its cookie: set app.keys')
}

/** Gives the request the session with this ID, and sets its cookie, or what else carries the ID. */
async function moveTo(ctx, id) {
  const { genid } = ctx.sessionOptions
  const before = { ...ctx.response.headers }
  ctx.sessionOptions.genid = () => id
  try {
    await ctx.session.regenerate()
  } finally {
    ctx.sessionOptions.genid = genid
  }
  const { headers } = ctx.response
  keepHeaders(ctx, Object.keys(headers).filter((name) => String(headers[name]) !== String(before[name])))
}

/** Koa removes all headers when the handler fails, and sets those of the error. The session has its new ID all the same. */
function keepHeaders(ctx, names) {
  const { onerror } = ctx
  ctx.onerror = function (error) {
    if (error instanceof Error && Object.isExtensible(error)) {
      const kept = names.map((name) => [name, ctx.response.get(name)])
      error.headers = { ...Object.fromEntries(kept), ...error.headers }
    }
    return onerror.call(this, error)
  }
}

/** Says whether the next save of koa-session sets the cookie. */
function setCookie(ctx, sets) {
  const { sessionOptions } = ctx
  const { externalKey } = sessionOptions
  const before = externalKey && BEFORE in externalKey ? externalKey[BEFORE] : externalKey
  sessionOptions.externalKey = sets ? before : { get() {}, set() {}, [BEFORE]: before }
}

module.exports = { cookieOf, cut, dataOf, isContext, moveTo, now, requireKeys, setCookie, storedOf }
