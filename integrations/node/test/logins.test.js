'use strict'
// `logIn` and `renew` in Fastify and Koa.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const fastifySession = require('@fastify/session')
const koaSession = require('koa-session')
const { confirmLogin, logIn, renew, requiresLoginWithin } = require('dynamodb-web-session')
const { serveFastify, serveKoa, startStore } = require('./servers.js')

function setMaxAge(session, milliseconds) {
  if (session.cookie) session.cookie.maxAge = milliseconds
  else session.maxAge = milliseconds
}

/** What both applications do. `request` is for Koa the context. */
async function act(request, store, path) {
  const [, verb, value] = path.split('/')
  if (verb === 'cart') request.session.cart = value
  if (verb === 'read') void request.session.user
  if (verb === 'login') await logIn(request, value, { user: value })
  if (verb === 'fail') {
    await logIn(request, value, { user: value })
    throw new Error('after the login')
  }
  if (verb === 'remember') {
    await logIn(request, value, { user: value })
    setMaxAge(request.session, 1_209_600_000)
  }
  if (verb === 'age') setMaxAge(request.session, Number(value))
  if (verb === 'caught') {
    request.session.cart = 'lost'
    await logIn(request, value, { user: value }).catch(() => (request.session.note = 'refused'))
  }
  if (verb === 'regenerate') await request.session.regenerate()
  if (verb === 'renew') await renew(request)
  if (verb === 'confirm') await confirmLogin(request)
  if (verb === 'others') await store.logOutEverywhere(value, { except: request })
  if (verb === 'logout') await (request.session.destroy?.() ?? (request.session = null))
  const listed = verb === 'devices' ? await store.sessionsOf(value, { current: request }) : []
  return [request.session?.user ?? 'nobody', request.session?.cart ?? '-', ...listed.map(({ isCurrent, label }) => `${label} ${isCurrent}`)].join(' ')
}

const frameworks = {
  async Fastify(t, settings, options) {
    const started = await startStore(fastifySession, settings)
    const { app, visit } = serveFastify(t, started.store.fastify, options)
    app.post('/serious', { preHandler: requiresLoginWithin(10) }, async () => 'done')
    app.all('/*', (request) => act(request, started.store, request.url))
    return { ...started, visit }
  },
  async Koa(t, settings, options) {
    const started = await startStore(koaSession, settings)
    const visit = await serveKoa(
      t,
      started.store,
      async (ctx) => {
        const done = async () => (ctx.body = 'done')
        if (ctx.path === '/serious') return requiresLoginWithin(10)(ctx, done)
        ctx.body = await act(ctx, started.store, ctx.path)
      },
      options,
    )
    return { ...started, visit }
  },
}

for (const [name, start] of Object.entries(frameworks)) {
  test(`${name}: a login is one transaction, and keeps what the visitor had`, async (t) => {
    const { sessions, proxy, visit } = await start(t)
    const laptop = visit()
    assert.deepEqual(await laptop('GET', '/read'), [200, 'nobody -'])
    assert.deepEqual(laptop.set, [])
    await laptop('POST', '/cart/apple')
    const before = visit(laptop)
    proxy.operations.length = 0
    assert.deepEqual(await laptop('POST', '/login/alice'), [200, 'alice apple'])
    assert.deepEqual(proxy.operations, ['GetItem', 'GetItem', 'TransactWriteItems']) // of the session, of the user's list
    assert.notDeepEqual(laptop.cookies, before.cookies)
    assert.deepEqual(await laptop('GET', '/devices/alice'), [200, 'alice apple Firefox on Linux true'])
    const phone = visit()
    assert.deepEqual(await phone('POST', '/login/alice'), [200, 'alice -'], 'without a session')
    assert.equal((await sessions.sessionsOf('alice')).length, 2)
    assert.deepEqual(await phone('POST', '/others/alice'), [200, 'alice -'])
    assert.deepEqual(await laptop('GET', '/'), [200, 'nobody -'])
    assert.deepEqual(await phone('GET', '/'), [200, 'alice -'])
    assert.deepEqual(await phone('POST', '/logout'), [200, 'nobody -'])
    assert.deepEqual(await phone('GET', '/'), [200, 'nobody -'])
    assert.deepEqual(await sessions.sessionsOf('alice'), [])
  })

  test(`${name}: a late request stores nothing, and leaves the cookie alone`, async (t) => {
    for (const options of [{}, { rolling: true }]) {
      const { visit } = await start(t, {}, options)
      const tab = visit()
      await tab('POST', '/cart/apple')
      const late = visit(tab)
      await tab('POST', '/login/alice')
      assert.deepEqual(await late('GET', '/read'), [200, 'nobody -'])
      assert.deepEqual(late.set, [])
      assert.equal((await late('POST', '/cart/pear'))[0], 400)
      assert.deepEqual(late.set, [])
      assert.deepEqual(await tab('GET', '/'), [200, 'alice apple'])
      // A browser that lost the answer of its login logs in again.
      assert.deepEqual(await late('POST', '/login/alice'), [200, 'alice -'])
      assert.deepEqual(await late('GET', '/'), [200, 'alice -'])
    }
  })

  test(`${name}: a refused login leaves everything as it was`, async (t) => {
    for (const options of [{}, { rolling: true }]) {
      const { sessions, table, proxy, visit } = await start(t, { maxPerSubject: 1, atMaxPerSubject: 'refuse' }, options)
      await visit()('POST', '/login/gina')
      const visitor = visit()
      await visitor('POST', '/cart/apple')
      const before = new Map(visitor.cookies)
      for (const path of ['/login/gina', '/caught/gina']) {
        const [status] = await visitor('POST', path)
        assert.equal(status, path === '/login/gina' ? 409 : 200)
        assert.deepEqual(visitor.set, [], path)
        assert.deepEqual(visitor.cookies, before)
        assert.deepEqual(await visitor('GET', '/'), [200, 'nobody apple'])
      }
      const records = await table.records()
      for (const path of ['/login/gina', '/caught/gina']) {
        const other = visit()
        await other('POST', path)
        assert.deepEqual([other.set, other.cookies.size], [[], 0], path)
      }
      assert.equal(await table.records(), records)
      assert.equal((await sessions.sessionsOf('gina')).length, 1)
      proxy.isOutage = true
      assert.equal((await visit()('POST', '/login/hugo'))[0], 503)
      proxy.isOutage = false
      assert.deepEqual(await sessions.sessionsOf('hugo'), [])
    }
  })

  test(`${name}: a handler that fails after the login leaves the user logged in`, async (t) => {
    const { sessions, visit } = await start(t)
    const tab = visit()
    await tab('POST', '/cart/apple')
    assert.equal((await tab('POST', '/fail/alice'))[0], 500)
    assert.deepEqual(await tab('GET', '/'), [200, 'alice apple'])
    assert.equal((await sessions.sessionsOf('alice')).length, 1)
  })

  test(`${name}: a renewal keeps user and data, and is no login`, async (t) => {
    const { sessions, clock, visit } = await start(t)
    const tab = visit()
    await tab('POST', '/login/alice')
    const before = new Map(tab.cookies)
    assert.deepEqual(await tab('POST', '/renew'), [200, 'alice -'])
    assert.notDeepEqual(tab.cookies, before)
    assert.deepEqual(await tab('GET', '/'), [200, 'alice -'])
    const visitor = visit()
    assert.deepEqual(await visitor('POST', '/renew'), [200, 'nobody -'])
    assert.deepEqual(visitor.set, [])
    assert.deepEqual(await visitor('POST', '/serious'), [401, 'Log in again.'])
    assert.deepEqual(await tab('POST', '/serious'), [200, 'done'])
    clock.advance(601)
    assert.deepEqual(await tab('POST', '/serious'), [401, 'Log in again.'])
    await tab('POST', '/confirm')
    assert.deepEqual(await tab('POST', '/serious'), [200, 'done'])
    assert.deepEqual(await tab('POST', '/regenerate'), [200, name === 'Koa' ? 'alice -' : 'nobody -'])
    assert.deepEqual(await tab('POST', '/login/alice'), [200, 'alice -'])
    assert.equal((await sessions.sessionsOf('alice')).length, 1)
  })

  test(`${name}: remember me`, async (t) => {
    for (const options of [{}, { rolling: false }]) {
      const { sessions, clock, visit } = await start(t, {}, options)
      const tab = visit()
      const lives = async (seconds) => {
        const [{ expires }] = await sessions.sessionsOf('alice')
        assert.ok(Math.abs(expires / 1000 - clock.now() - seconds) <= 0.12 * seconds, `${expires}`)
        const ends = Date.parse(/Expires=([^;]+)/i.exec(tab.set[0])[1])
        assert.ok(Math.abs(ends / 1000 - Date.now() / 1000 - seconds) < 60, `${tab.set}`)
      }
      assert.deepEqual(await tab('POST', '/remember/alice'), [200, 'alice -'])
      await lives(1_209_600)
      await tab('POST', '/age/900000')
      await lives(900)
      await tab('POST', '/age/31536000000')
      await lives(2_592_000) // the longest that the settings allow
      clock.advance(1_209_000)
      assert.deepEqual(await tab('GET', '/'), [200, 'alice -'])
    }
  })
}

test('Fastify: no login on a path without sessions', async (t) => {
  const { store, proxy } = await startStore(fastifySession)
  const { app, visit } = serveFastify(t, store.fastify, { cookie: { secure: false, path: '/shop' } })
  app.post('/*', async (request) => logIn(request, 'alice'))
  assert.match((await visit()('POST', '/'))[1], /no session/)
  assert.deepEqual(proxy.operations, [])
})
