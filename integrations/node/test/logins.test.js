'use strict'
// `logIn` and `renew` in Fastify and Koa.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const { test } = require('node:test')
const fastifySession = require('@fastify/session')
const koaSession = require('koa-session')
const { confirmLogin, logIn, renew, requiresLoginWithin } = require('dynamodb-web-session')
const { serveFastify, serveKoa, startStore } = require('./servers.js')

function setMaxAge(session, milliseconds) {
  if (session.cookie) session.cookie.maxAge = milliseconds
  else session.maxAge = milliseconds
}

let during
/** What happens during the next request whose path begins with `/slow`. */
async function meanwhile() {
  const now = during
  during = undefined
  await now?.()
}

/** What both applications do. `request` is for Koa the context. */
async function act(request, store, path) {
  const isSlow = path.startsWith('/slow')
  const [, verb, value] = (isSlow ? path.slice(5) : path).split('/')
  if (isSlow) await meanwhile()
  if (verb === 'cart') request.session.cart = value
  if (verb === 'read') void request.session.user
  if (verb === 'login') await logIn(request, value, { user: value })
  if (verb === 'remove') delete request.session.user
  if (verb === 'switch') {
    await (request.session.destroy?.() ?? (request.session = null))
    await logIn(request, value, { user: value })
  }
  if (verb === 'again') {
    await logIn(request, value, { user: value }).catch(() => store.logOutEverywhere(value))
    await logIn(request, value, { user: value })
  }
  if (verb === 'take') await logIn(request, 'alice', { [value]: 1 })
  if (verb === 'more') {
    await logIn(request, value, { user: value })
    request.session.seen = 1
    await meanwhile()
  }
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

/** Some of the keys that they use. */
const taken = { Fastify: ['regenerate', 'isModified', 'cookie', '__proto__'], Koa: ['regenerate', 'toJSON', 'length', '__proto__'] }

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

  test(`${name}: a request that is slower than a login leaves its cookie alone`, async (t) => {
    for (const options of [{}, { rolling: true }, { rolling: false }]) {
      for (const seconds of [0, 61]) {
        const { clock, visit } = await start(t, {}, options)
        const tab = visit()
        await tab('POST', '/cart/apple')
        clock.advance(seconds)
        for (const [path, status] of [['/slow/read', 200], ['/slow/cart/pear', 400]]) {
          during = () => tab('POST', '/login/alice')
          assert.equal((await tab('GET', path))[0], status)
          assert.deepEqual(tab.set, [])
          assert.deepEqual(await tab('GET', '/'), [200, 'alice apple'])
        }
      }
    }
  })

  test(`${name}: a way out is never refused`, async (t) => {
    for (const options of [{}, { rolling: true }]) {
      const { sessions, clock, visit } = await start(t, {}, options)
      for (const other of [(tab) => tab('POST', '/renew'), (tab) => tab('POST', '/logout'), () => sessions.revokeAll('alice')]) {
        for (const way of ['/slow/remove', '/slow/logout']) {
          const tab = visit()
          await tab('POST', '/login/alice')
          clock.advance(61)
          during = () => other(visit(tab))
          assert.equal((await tab('POST', way))[0], 200)
          assert.deepEqual(await sessions.sessionsOf('alice'), [])
          assert.deepEqual(await tab('GET', '/'), [200, 'nobody -'])
        }
      }
      const tab = visit()
      await tab('POST', '/login/alice')
      const late = visit(tab)
      await tab('POST', '/renew')
      await late('POST', '/logout')
      assert.deepEqual(await sessions.sessionsOf('alice'), [], 'under its new ID too')
    }
  })

  test(`${name}: a logout and a login in one request, and a login after a refused one`, async (t) => {
    const { sessions, visit } = await start(t, { maxPerSubject: 1, atMaxPerSubject: 'refuse' })
    const tab = visit()
    await tab('POST', '/login/alice')
    assert.deepEqual(await tab('POST', '/switch/bob'), [200, 'bob -'])
    assert.deepEqual(await tab('GET', '/'), [200, 'bob -'])
    assert.deepEqual(await sessions.sessionsOf('alice'), [])
    const other = visit()
    await other('POST', '/cart/apple')
    assert.deepEqual(await other('POST', '/again/bob'), [200, 'bob apple'])
    assert.deepEqual(await other('GET', '/'), [200, 'bob apple'])
    assert.equal((await sessions.sessionsOf('bob')).length, 1)
  })

  test(`${name}: a login stays when the rest of its request cannot be stored`, async (t) => {
    const { sessions, proxy, visit } = await start(t)
    const tab = visit()
    await tab('POST', '/cart/apple')
    during = () => (proxy.isOutage = true)
    assert.equal((await tab('POST', '/more/alice'))[0], 503)
    proxy.isOutage = false
    assert.deepEqual(await tab('GET', '/'), [200, 'alice apple'])
    assert.equal((await sessions.sessionsOf('alice')).length, 1)
  })

  test(`${name}: a key that the session library uses is refused before the login`, async (t) => {
    const { sessions, visit } = await start(t)
    const tab = visit()
    await tab('POST', '/cart/apple')
    for (const key of taken[name]) {
      assert.equal((await tab('POST', `/take/${key}`))[0], 500, key)
      assert.deepEqual(await tab('GET', '/'), [200, 'nobody apple'], key)
    }
    assert.deepEqual(await sessions.sessionsOf('alice'), [])
  })

  test(`${name}: a session in use lives on`, async (t) => {
    for (const options of [{}, { rolling: false }, { rolling: true }]) {
      const { clock, visit } = await start(t, {}, { ...options, ...(name === 'Koa' && { maxAge: 'session' }) })
      const tab = visit()
      await tab('POST', '/login/alice')
      for (let n = 0; n < 4; n++) {
        clock.advance(3000)
        assert.deepEqual(await tab('GET', '/read'), [200, 'alice -'])
      }
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

test('Fastify: hooks after the plugin find a session object in each case', async (t) => {
  const { store } = await startStore(fastifySession)
  const { app, visit } = serveFastify(t, store.fastify)
  app.after(() => app.addHook('onSend', async (request, reply) => void reply.header('x-user', request.session.get('user') ?? 'nobody')))
  app.get('/*', (request) => act(request, store, request.url))
  const tab = visit()
  await tab('GET', '/cart/apple')
  const late = visit(tab)
  await tab('GET', '/login/alice')
  assert.deepEqual(await late('GET', '/read'), [200, 'nobody -'])
})

test('Koa: a session that the application does not accept is none', async (t) => {
  let isBanned = false
  const { store } = await startStore(koaSession)
  const passes = async (ctx) => {
    if (ctx.path === '/login') await logIn(ctx, 'alice', { user: 'alice' })
    else await requiresLoginWithin(10)(ctx, async () => (ctx.body = 'passes'))
  }
  const tab = (await serveKoa(t, store, passes, { valid: () => !isBanned }))()
  await tab('POST', '/login')
  assert.deepEqual(await tab('GET', '/'), [200, 'passes'])
  isBanned = true
  assert.equal((await tab('GET', '/'))[0], 401)
})

test('Koa: without keys for the cookie there is no login', async (t) => {
  const { store, proxy } = await startStore(koaSession)
  const koa = new (require('koa'))()
  koa.silent = true
  koa.use((koaSession.default ?? koaSession)({ store }, koa))
  koa.use(async (ctx) => logIn(ctx, 'alice'))
  const server = koa.listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  assert.equal((await fetch(`http://127.0.0.1:${server.address().port}`)).status, 500)
  assert.deepEqual(proxy.operations, [])
})

test('Koa: an ID in a header stays when the handler fails after the login', async (t) => {
  const { store, sessions } = await startStore(koaSession)
  const externalKey = { get: (ctx) => ctx.get('x-session'), set: (ctx, id) => ctx.set('x-session', id) }
  const koa = new (require('koa'))()
  koa.keys = ['secret']
  koa.silent = true
  koa.use((koaSession.default ?? koaSession)({ store, externalKey }, koa))
  koa.use(async (ctx) => {
    await logIn(ctx, 'alice', { user: 'alice' })
    throw new Error('after the login')
  })
  const server = koa.listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const answered = await fetch(`http://127.0.0.1:${server.address().port}`)
  assert.equal(answered.status, 500)
  assert.equal((await sessions.load(answered.headers.get('x-session'))).subject, 'alice')
})
