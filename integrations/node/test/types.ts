// Compiled, not run: the types of what programs write.
import session = require('express-session')
import express = require('express')
import { NotFoundError, RawJson, Session, SessionManager, expressStore, fetchSessions, logIn, requiresLoginWithin } from 'dynamodb-web-session'

declare module 'express-session' {
  interface SessionData {
    user: string
  }
}

async function use(): Promise<void> {
  const sessions = new SessionManager({ tableName: 'app_session', atMaxPerSubject: 'end-oldest', notBefore: new Date() })
  const created: Session = await sessions.create({ fruit: 'apple' }, { subject: 'alice', idleTimeoutSeconds: 900 })
  const loaded: Session | undefined = await sessions.load(created.id)
  if (loaded) loaded.data = new RawJson('{}')
  const etag: string = await sessions.update(created, { data: 1, ifMatch: created.etag })
  const ended: boolean = await sessions.clear(created)
  const lastUsed: Date[] = (await sessions.sessionsOf('alice')).map((each) => each.lastUsed)
  await sessions.save(created).catch((error: unknown) => error instanceof NotFoundError && error.code)
  // @ts-expect-error: there is no such option
  await sessions.create({}, { user: 'alice' })
  // @ts-expect-error: the ID cannot be set
  created.id = 'mine'
  void [etag, ended, lastUsed]
}

const store = expressStore(session, { subject: (data) => data.user })
const middleware: express.RequestHandler = session({ store, secret: 's', resave: false, saveUninitialized: false })
void store.logOutEverywhere('alice')
const login: express.RequestHandler = async (request) => {
  await logIn(request, 7, { user: 'alice' })
  await store.logOutEverywhere(7n, { except: request })
}
const ofOthers = expressStore(require('@fastify/session'), { subject: (data) => data.anything })
const registered: Promise<void> = ofOthers.fastify({}, { secret: 's' })
const recently: express.RequestHandler = requiresLoginWithin(10)
const { getSession, commit } = fetchSessions({ cookie: { secure: false } })
async function handle(request: Request): Promise<Response> {
  const session = await getSession<{ cart: string[] }>(request)
  session.data.cart.push('apple')
  await session.logIn('alice', { cart: [] })
  const cookie: string | undefined = await commit(session)
  return new Response(null, { headers: cookie ? { 'set-cookie': cookie } : {} })
}
void [use, middleware, login, handle, registered, recently]
