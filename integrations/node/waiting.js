'use strict'
// express-session saves a session while the response is on its way, and sets the cookie in any case. Here the response waits until
// the session is stored, so that an error is an answer and the cookie is set only for a session that is there. Meanwhile the
// application finds the response as if it had been sent: `headersSent` is true, and the head stays as it is.

const { ANSWERS } = require('./errors.js')

const WAITS = Symbol('waits for the session')

/** A key that a session has while its cookie is set. */
const EXTENDED = '(extended)'

/**
 * `store` stores the session of a request, and returns whether the response may set the cookie: `{ setsCookie, error }`.
 * `request.res` is Express's.
 */
function waitForTheSession(request, store) {
  const response = request.res
  if (!response || request[WAITS]) return
  request[WAITS] = true
  const { write, end, writeHead, flushHeaders } = response
  const waiting = [] // calls
  let state = 'open'
  let hasEnded = false
  let setsCookie = true

  const head = (...values) => {
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
  const methods = { write, end, writeHead: head, flushHeaders }

  const finish = async () => {
    state = 'waiting'
    const release = hold(response, () => hasEnded)
    const stored = request.session ? await store(request.session) : { setsCookie: true }
    const close = release()
    setsCookie = stored.setsCookie
    state = stored.error ? 'refused' : 'done'
    try {
      if (stored.error) refuse(stored.error, end)
      else for (const [method, values] of waiting) methods[method].apply(response, values)
    } catch (error) {
      // Such as that of a cookie which cannot be written.
      if (response.headersSent) return response.destroy(error)
      state = 'refused'
      setsCookie = false
      refuse(error, Object.getPrototypeOf(response).end) // express-session's was called already
    }
    response.emit('drain')
    close(hasEnded || state === 'refused')
  }

  /** Answers with an error. express-session has nothing to store any more. */
  const refuse = (error, end) => {
    const text = refusal(response, error)
    head(response.statusCode)
    const { session, sessionID } = request
    Object.assign(request, { session: undefined, sessionID: undefined })
    try {
      end.call(response, text)
    } finally {
      Object.assign(request, { session, sessionID })
    }
    for (const [, values] of waiting) callBack(values)
  }

  const later = (method, result) =>
    function (...values) {
      if (state === 'done' || (state === 'open' && response.headersSent)) return methods[method].apply(response, values)
      if (state === 'refused') callBack(values)
      if (state === 'refused' || hasEnded) return result
      waiting.push([method, values])
      hasEnded = method === 'end'
      if (state === 'open') finish()
      return result
    }
  response.write = later('write', false)
  response.end = later('end', response)
  response.writeHead = later('writeHead', response)
  response.flushHeaders = later('flushHeaders')
}

/**
 * Lets a response that waits look as if it had been sent. What closes the connection then, such as Express after an error, closes it
 * after the response. Returns what ends this: it gives back a function to call when the response was sent.
 */
function hold(response, hasEnded) {
  const { socket, statusCode, statusMessage } = response
  const before = []
  const replace = (object, name, descriptor) => {
    before.push([object, name, Object.getOwnPropertyDescriptor(object, name)])
    Object.defineProperty(object, name, { configurable: true, ...descriptor })
  }
  const tooLate = () => {
    throw Object.assign(new Error('Cannot set headers after they are sent to the client'), { code: 'ERR_HTTP_HEADERS_SENT' })
  }
  for (const name of ['setHeader', 'setHeaders', 'appendHeader', 'removeHeader', 'writeHead']) replace(response, name, { value: tooLate, writable: true })
  for (const name of ['flushHeaders', '_implicitHeader']) replace(response, name, { value() {}, writable: true })
  replace(response, 'headersSent', { get: () => true })
  replace(response, 'writableEnded', { get: hasEnded })
  let closing
  const destroy = (error) => {
    closing = () => socket.destroy(error)
    return socket
  }
  if (socket) replace(socket, 'destroy', { value: destroy, writable: true })

  return () => {
    for (const [object, name, descriptor] of before.reverse()) {
      if (descriptor) Object.defineProperty(object, name, descriptor)
      else delete object[name]
    }
    Object.assign(response, { statusCode, statusMessage })
    return (isComplete) => {
      if (!closing) return
      if (isComplete && !response.writableFinished) response.once('finish', closing)
      else closing()
    }
  }
}

/** The callback of a call that is not made. */
function callBack(values) {
  const last = values.at(-1)
  if (typeof last === 'function') process.nextTick(last)
}

/** Makes a response say that its session could not be stored. Returns its text. */
function refusal(response, error) {
  const [status, text] = ANSWERS[error.code] ?? [500, 'Internal Server Error']
  if (status === 500) process.emitWarning(error)
  for (const name of response.getHeaderNames()) response.removeHeader(name) // a cookie may say that the user is logged in
  response.statusCode = status
  response.statusMessage = undefined
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.setHeader('content-length', Buffer.byteLength(text))
  if (status === 503) response.setHeader('retry-after', '1')
  return text
}

module.exports = { waitForTheSession }
