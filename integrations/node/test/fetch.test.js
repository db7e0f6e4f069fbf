'use strict'
// `fetchSessions` under Hono and by itself, and `sessionStorage` in React Router's own `createSessionStorage`.

const assert = require('node:assert')
const { before, test } = require('node:test')
const { Hono } = require('hono')
const { createCookie, createSessionStorage } = require('react-router')
const { fetchSessions, sessionStorage } = require('dynamodb-web-session')
const { startProxy, startTable } = require('./table.js')
const atOnce = require('../../../tests/cases/requests_at_once.json')

let table
before(async () => {
  table = await startTable()
})

/** A shop in Hono, and a browser of it. */
function shop(sessions) {
  const web = fetchSessions({ sessions })
  const app = new Hono()
  app.use(async (context, next) => {
    const session = await web.getSession(context.req.raw)
    context.set('session', session)
    await next()
    const cookie = await web.commit(session)
    if (cookie) context.header('set-cookie', cookie, { append: true })
  })
  app.get('/', (context) => context.json(context.get('session').data))
  app.get('/user', (context) => context.json(context.get('session').user ?? null))
  app.get('/poll', (context) => {
    context.get('session').keepsAlive = false
    return context.body(null)
  })
  app.post('/set/:key', (context) => {
    context.get('session').data[context.req.param('key')] = true
    return context.body(null)
  })
  app.post('/login/:user', async (context) => {
    const session = context.get('session')
    if (context.req.query('remember')) session.maxAge = 14 * 86400
    await session.logIn(context.req.param('user'), { at: 'login' })
    return context.body(null)
  })
  app.post('/logout', async (context) => {
    await context.get('session').logOut()
    return context.body(null)
  })
  app.onError((error, context) => context.text(error.code, 503))
  return { app, web }
}

function browser(app) {
  let cookie
  const send = async (method, path, sent = cookie) => {
    const response = await app.request(`https://shop.example${path}`, { method, headers: sent ? { cookie: sent } : {} })
    const set = response.headers.get('set-cookie')
    if (set) cookie = /Max-Age=0/.test(set) ? undefined : set.split(';')[0]
    return { status: response.status, body: await response.text(), set, cookie }
  }
  send.cookie = () => cookie
  return send
}

test('a visitor without data costs nothing and gets no cookie; the cookie is by the rules of __Host-', async () => {
  const send = browser(shop(table.manager()).app)
  assert.deepStrictEqual(await send('GET', '/'), { status: 200, body: '{}', set: null, cookie: undefined })
  const { set } = await send('POST', '/set/cart')
  assert.match(set, /^__Host-id=[\w-]{43}; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
  const again = await send('GET', '/')
  assert.deepStrictEqual([again.body, again.set], ['{"cart":true}', null])
})

test('a login gives another ID, keeps the cart, and can be ended everywhere', async () => {
  const { app, web } = shop(table.manager())
  const send = browser(app)
  await send('POST', '/set/cart')
  const old = send.cookie()
  await send('POST', '/login/alice')
  assert.notStrictEqual(send.cookie(), old)
  assert.strictEqual((await send('GET', '/')).body, '{"cart":true,"at":"login"}')
  assert.strictEqual((await send('GET', '/user')).body, '"alice"')
  const late = await send('POST', '/set/late', old)
  assert.deepStrictEqual([late.status, late.set], [503, null], 'a late request stores nothing and leaves the cookie alone')
  await web.sessions.revokeAll('alice')
  assert.strictEqual((await send('GET', '/user')).body, 'null')
})

test('a logout ends the session and deletes the cookie', async () => {
  const send = browser(shop(table.manager()).app)
  await send('POST', '/login/bob')
  const ended = send.cookie()
  const { set } = await send('POST', '/logout')
  assert.strictEqual(set, '__Host-id=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=Lax')
  assert.strictEqual((await send('GET', '/user', ended)).body, 'null')
})

test('a refused login leaves everything as it was', async () => {
  const sessions = table.manager({ maxPerSubject: 1, atMaxPerSubject: 'refuse' })
  const { app } = shop(sessions)
  await browser(app)('POST', '/login/carol')
  const send = browser(app)
  await send('POST', '/set/cart')
  const before = send.cookie()
  const refused = await send('POST', '/login/carol')
  assert.deepStrictEqual([refused.status, refused.body, refused.set], [503, 'TOO_MANY_SESSIONS', null])
  assert.strictEqual(send.cookie(), before)
  assert.strictEqual((await send('GET', '/')).body, '{"cart":true}')
})

test('remember me: cookie and record live equally long', async () => {
  const { app, web } = shop(table.manager())
  const send = browser(app)
  const { set } = await send('POST', '/login/dora?remember=1')
  assert.match(set, /; Max-Age=1209600;/)
  table.clock.advance(86400)
  assert.match((await send('GET', '/')).set, /; Max-Age=1123200;/, 'what is left until the absolute deadline')
  const session = await web.getSession(send.cookie())
  assert.strictEqual(session.maxAge, 1209600)
})

test('the cases of requests at once', async () => {
  const web = fetchSessions({ sessions: table.manager() })
  const change = ({ data }, { set, remove = [] }) => {
    Object.assign(data, set)
    for (const key of remove) delete data[key]
  }
  for (const { rule, stored, meanwhile, request, left } of atOnce) {
    const begun = await web.getSession(null)
    change(begun, { set: stored })
    const cookie = (await web.commit(begun)).split(';')[0]
    const [slow, fast] = [await web.getSession(cookie), await web.getSession(cookie)]
    change(slow, request)
    change(fast, meanwhile)
    await web.commit(fast)
    await web.commit(slow)
    assert.deepStrictEqual((await web.getSession(cookie)).data, left, rule)
  }
})

test('requests at once that change different keys keep both changes, and a setting turns that off', async () => {
  for (const [merge, expected] of [[true, ['a', 'b']], [false, ['b']]]) {
    const web = fetchSessions({ sessions: table.manager({ merge }) })
    const first = await web.getSession(null)
    first.data.begun = true
    const cookie = (await web.commit(first)).split(';')[0]
    const [one, two] = [await web.getSession(cookie), await web.getSession(cookie)]
    one.data.a = 1
    two.data.b = 2
    await web.commit(one)
    await web.commit(two)
    const { data } = await web.getSession(cookie)
    assert.deepStrictEqual(Object.keys(data).filter((key) => key !== 'begun'), expected)
  }
})

test('what did not change is not written, and a poll keeps nothing alive', async () => {
  const proxy = await startProxy(table.url)
  const send = browser(shop(table.manager({ endpointUrl: proxy.url })).app)
  await send('POST', '/set/cart')
  proxy.operations.length = 0
  await send('POST', '/set/cart')
  assert.deepStrictEqual(proxy.operations, ['GetItem'])
  for (let minutes = 0; minutes < 130; minutes += 65) {
    table.clock.advance(65 * 60)
    await send('GET', '/poll')
  }
  assert.strictEqual((await send('GET', '/')).body, '{}')
  proxy.close?.()
})

test('cookie options are checked', () => {
  for (const cookie of [{ name: 'a b' }, { sameSite: 'none' }, { secure: false, sameSite: 'None' }, { secure: false, name: '__Host-id' }, { path: '/x' }]) {
    assert.throws(() => fetchSessions({ sessions: table.manager(), cookie }), TypeError)
  }
})

test("React Router's createSessionStorage", async () => {
  const sessions = table.manager()
  const cookie = createCookie('__Host-id', { secure: true, httpOnly: true, sameSite: 'lax', path: '/' })
  const storage = createSessionStorage({ cookie, ...sessionStorage({ sessions, subject: (data) => data.user }) })
  const session = await storage.getSession(null)
  session.set('user', 7)
  const header = await storage.commitSession(session)
  const again = await storage.getSession(header.split(';')[0])
  assert.strictEqual(again.get('user'), 7)
  again.flash('notice', 'saved')
  await storage.commitSession(again)
  assert.strictEqual((await sessions.sessionsOf(7)).length, 1)
  again.unset('user')
  await storage.commitSession(again)
  assert.strictEqual((await sessions.sessionsOf(7)).length, 0)
  await storage.destroySession(again)
  assert.deepStrictEqual((await storage.getSession(header.split(';')[0])).data, {})
  await assert.rejects(storage.commitSession(again), { code: 'NOT_FOUND' })
  const short = await storage.commitSession(await storage.getSession(null), { maxAge: 60 })
  assert.match(short, /Max-Age=60/)
})

test('a renewal gives the session a new ID, with what the request has changed', async () => {
  const { getSession, commit, sessions } = fetchSessions({ sessions: table.manager() })
  const visitor = await getSession(undefined)
  await visitor.renew() // it has no session yet
  visitor.data.cart = 1
  const cookie = (await commit(visitor)).split(';')[0]

  const session = await getSession(cookie)
  session.data.role = 'admin'
  await session.renew()
  const renewed = (await commit(session)).split(';')[0]
  assert.notEqual(renewed, cookie)
  assert.deepEqual((await getSession(renewed)).data, { cart: 1, role: 'admin' })
  assert.equal((await getSession(cookie)).record, undefined)

  const late = await getSession(renewed)
  await sessions.clear(late.record)
  await assert.rejects(late.renew(), { code: 'NOT_FOUND' })
})

test("a user's sessions are listed, one ends by its name, and all but one", async () => {
  const { getSession, commit, sessionsOf, revoke, logOutEverywhere } = fetchSessions({ sessions: table.manager() })
  const opened = []
  for (let n = 0; n < 3; n++) {
    const session = await getSession(undefined)
    await session.logIn('devices')
    opened.push((await commit(session)).split(';')[0])
  }
  const current = await getSession(opened[0])
  const listed = await sessionsOf('devices', { current })
  assert.equal(listed.filter((each) => each.isCurrent).length, 1)
  assert.equal(await revoke('devices', listed.find((each) => !each.isCurrent).name), true)
  assert.equal((await sessionsOf('devices')).length, 2)
  await logOutEverywhere('devices', { except: current })
  assert.deepEqual(
    (await sessionsOf('devices', { current })).map((each) => each.isCurrent),
    [true],
  )
  await logOutEverywhere('devices')
  assert.equal((await getSession(opened[0])).record, undefined)
})

test('a login that is stored keeps its cookie when the rest of its request fails', async () => {
  const proxy = await startProxy(table.url)
  const { getSession, commit } = fetchSessions({ sessions: table.manager({ endpointUrl: proxy.url }) })
  const fails = { outage: () => (proxy.isOutage = true), 'no JSON': (session) => (session.data.big = 1n) }
  for (const [name, fail] of Object.entries(fails)) {
    for (const [login, isThere] of [[true, true], [false, false]]) {
      const session = await getSession(null)
      if (login) await session.logIn(name)
      session.data.seen = 1
      fail(session)
      await assert.rejects(commit(session))
      proxy.isOutage = false
      proxy.operations.length = 0
      const cookie = await commit(session)
      assert.deepEqual([cookie !== undefined, proxy.operations], [isThere, []], name)
      if (login) assert.equal((await getSession(cookie.split(';')[0])).user, name)
    }
  }
})
