'use strict'
// The HTTP contract of the service on this package, so that the model and the histories of tests/service can be driven
// through it:
//
//     SESSION_HOST="node integrations/node/test/host.js" cargo test -p tests -- guarantees::model guarantees::histories
//
// A request says in `x-clock` what time it is.

const { createServer } = require('node:http')
const { ManualClock, SessionError, SessionManager } = require('dynamodb-web-session')

const STATUSES = { NOT_FOUND: 404, CHANGED: 412, TOO_MANY_SESSIONS: 409, RENEWED_TOO_OFTEN: 429, UNAVAILABLE: 503 }

const clock = new ManualClock(0)
const sessions = new SessionManager({ clock })

const camelCase = ({ idle_timeout_seconds: idle, absolute_timeout_seconds: absolute, ...others }) => ({
  ...others,
  ...(idle === undefined ? {} : { idleTimeoutSeconds: idle }),
  ...(absolute === undefined ? {} : { absoluteTimeoutSeconds: absolute }),
})

const rfc3339 = (date) => date.toISOString().replace('.000Z', 'Z')

const document = (session) => ({
  session_id: session.id,
  loggable_session_id: session.loggableId,
  subject: session.subject,
  data: session.data,
  created: rfc3339(session.created),
  expires: rfc3339(session.expires),
  idle_timeout_seconds: session.idleTimeoutSeconds,
  absolute_timeout_seconds: session.absoluteTimeoutSeconds,
})

const found = (session) => (session ? [200, session.etag, document(session)] : [404])

const VERBS = {
  'POST /session': async (id, ifMatch, { data, ...options }) => {
    const session = await sessions.create(data, camelCase(options))
    return [201, session.etag, document(session)]
  },
  'GET /session': async (id) => found(await sessions.load(id)),
  'PUT /session': async (id, ifMatch, body) =>
    Object.keys(body).length ? [204, await sessions.update(id, { ...camelCase(body), ifMatch })] : [400],
  'DELETE /session': async (id, ifMatch) => {
    await sessions.clear(id, { ifMatch })
    return [204]
  },
  'POST /session/renew': async (id, ifMatch, { subject, ...body }) => {
    if (subject === undefined) return found(await sessions.renew(id, { ...body, ifMatch }))
    const session = await sessions.logIn(id, subject, { ...camelCase(body), ifMatch })
    return [session.isNew ? 201 : 200, session.etag, document(session)]
  },
  'POST /session/list': async (id, ifMatch, { subject }) => {
    const listed = await sessions.sessionsOf(subject)
    return [200, undefined, { sessions: listed.map(({ loggableId }) => ({ loggable_session_id: loggableId })) }]
  },
  'POST /session/revoke': async (id, ifMatch, { subject, except, loggable_session_id: one }) => {
    await (one ? sessions.revoke(one) : sessions.revokeAll(subject, { except }))
    return [204]
  },
}

const server = createServer(async (request, response) => {
  const chunks = []
  for await (const chunk of request) chunks.push(chunk)
  clock.advance(Math.max(0, Number(request.headers['x-clock']) - clock.now()))
  let status, tag, body
  try {
    const verb = VERBS[`${request.method} ${request.url}`]
    const given = JSON.parse(Buffer.concat(chunks).toString() || '{}')
    ;[status, tag, body] = await verb(request.headers['x-session-id'] ?? '', request.headers['if-match'], given)
  } catch (error) {
    if (!(error instanceof SessionError)) throw error
    status = STATUSES[error.code] ?? 500
  }
  response.writeHead(status, tag ? { etag: tag } : {}).end(body && JSON.stringify(body))
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/session`))
