'use strict'
// koa-session.

const { lifetimeOf } = require('./stored.js')

const A_DAY = 24 * 60 * 60 * 1000

/** koa-session lets a record live for so long after its cookie. */
const LONGER = 10_000

function isContext(request) {
  return request.sessionOptions !== undefined
}

/** A cookie does not outlive the longest session. */
function cut(options, maxSeconds) {
  if (options.maxAge > maxSeconds * 1000) options.maxAge = maxSeconds * 1000
}

/** The session of a request as koa-session would store it now. */
function now({ session, sessionOptions }, maxSeconds) {
  cut(sessionOptions, maxSeconds)
  const maxAge = sessionOptions.maxAge || A_DAY
  const added = maxAge === 'session' ? { _session: true } : { _expire: Date.now() + maxAge, _maxAge: maxAge }
  return { json: JSON.stringify(session), added, lifetime: lifetimeOf(cookieOf(maxAge + LONGER, maxSeconds)) }
}

/** The cookie of a session that is stored with this `maxAge`. */
function cookieOf(maxAge, maxSeconds) {
  return { originalMaxAge: Math.min(maxAge, maxSeconds * 1000) }
}

/** A login has stored the session a moment ago: that its end is some milliseconds later by now is no change. */
function keepEnd(data, end) {
  if (end && end._maxAge === data._maxAge) Object.assign(data, end)
}

/** Gives the request the session with this ID, and sets its cookie. */
async function moveTo(ctx, id) {
  const { genid } = ctx.sessionOptions
  ctx.sessionOptions.genid = () => id
  try {
    await ctx.session.regenerate()
  } finally {
    ctx.sessionOptions.genid = genid
  }
  keepCookie(ctx)
}

/** Koa removes all headers when the handler fails, and sets those of the error. The session has its new ID all the same. */
function keepCookie(ctx) {
  const { onerror } = ctx
  ctx.onerror = function (error) {
    if (error instanceof Error) error.headers = { 'set-cookie': ctx.response.get('set-cookie'), ...error.headers }
    return onerror.call(this, error)
  }
}

/** The response sets no cookie. */
function leaveCookie(ctx) {
  ctx.sessionOptions.externalKey = { get() {}, set() {} }
}

module.exports = { cookieOf, cut, isContext, keepEnd, leaveCookie, moveTo, now }
