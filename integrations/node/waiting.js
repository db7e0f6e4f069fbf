'use strict'
// express-session saves a session while the response is on its way, and sets the cookie in any case. Here the response waits until
// the session is stored, so that an error is an answer and the cookie is set only for a session that is there.

const { ANSWERS } = require('./errors.js')

const WAITS = Symbol('waits for the session')

/** A key that a session has while its cookie is set. */
const EXTENDED = '(extended)'

/** `store` stores the session of a request, and returns whether the response may set the cookie. `request.res` is Express's. */
function waitForTheSession(request, store) {
  const response = request.res
  if (!response || request[WAITS]) return
  request[WAITS] = true
  const { write, end, writeHead } = response
  let waiting = [] // calls of write and end
  let state = 'open'
  let setsCookie = true

  const finish = async () => {
    state = 'waiting'
    try {
      setsCookie = request.session ? await store(request.session) : true
      state = 'done'
    } catch (error) {
      setsCookie = false
      state = 'refused'
      waiting = [[end, [refusal(response, error)]]]
    }
    try {
      for (const [method, values] of waiting) method.apply(response, values)
    } catch (error) {
      // Such as that of a cookie which cannot be written.
      if (response.headersSent) return response.destroy(error)
      setsCookie = false
      end.call(response, refusal(response, error))
    }
    response.emit('drain')
  }
  const later = (method) =>
    function (...values) {
      if (state === 'refused') return true
      if (state === 'done' || response.headersSent) return method.apply(response, values)
      waiting.push([method, values])
      if (state === 'open') finish()
      return method === end ? response : false
    }
  response.write = later(write)
  response.end = later(end)
  response.writeHead = function (...values) {
    // express-session sets the cookie of a session that is there; one that ends by time, only with data that has changed.
    const { session } = request
    const extends_ = setsCookie && session?.cookie?.expires && !Object.hasOwn(session, EXTENDED)
    if (!setsCookie) request.session = undefined
    if (extends_) session[EXTENDED] = true
    try {
      return writeHead.apply(response, values)
    } finally {
      if (extends_) delete session[EXTENDED]
      request.session = session
    }
  }
}

/** Makes a response say that its session could not be stored. Returns its text. */
function refusal(response, error) {
  const [status, text] = ANSWERS[error.code] ?? [500, 'Internal Server Error']
  if (status === 500) process.emitWarning(error)
  for (const name of response.getHeaderNames()) response.removeHeader(name) // a cookie may say that the user is logged in
  response.statusCode = status
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  if (status === 503) response.setHeader('retry-after', '1')
  return text
}

module.exports = { waitForTheSession }
