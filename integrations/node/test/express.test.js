'use strict'
const assert = require('node:assert/strict')
const { randomBytes } = require('node:crypto')
const { once } = require('node:events')
const { before, test } = require('node:test')
const express = require('express')
const session = require('express-session')
const { SessionManager, expressStore, logIn, renew } = require('dynamodb-web-session')
const { Browser, SECRET, routes, serve } = require('./application.js')
const { startTable } = require('./table.js')

let table
before(async () => {
  table = await startTable()
})

test('what a request costs', async () => {
  const { proxy, browser } = await serve(table, routes)
  const visitor = browser()
  const cost = async (path) => {
    proxy.operations.length = 0
    await visitor.get(path)
    return [...proxy.operations]
  }
  assert.deepEqual(await cost('/'), [])
  assert.deepEqual(await cost('/visit'), ['PutItem'])
  assert.deepEqual(await cost('/'), ['GetItem'], 'a session that is not changed')
  assert.deepEqual(await cost('/same'), ['GetItem'], 'nor is it by an equal value')
  assert.deepEqual(await cost('/visit'), ['GetItem', 'UpdateItem'])
  table.clock.advance(60)
  assert.deepEqual(await cost('/'), ['GetItem', 'UpdateItem'], 'its deadline slides')
  assert.deepEqual(await cost('/log-in/alice'), ['GetItem', 'GetItem', 'TransactWriteItems'])
  assert.deepEqual(await cost('/login/alice'), ['GetItem', 'UpdateItem', 'UpdateItem', 'TransactWriteItems'])
  assert.deepEqual(await cost('/logout'), ['GetItem', 'UpdateItem', 'UpdateItem'])
})

test('a session lives from request to request, and a login gives it a new ID', async () => {
  const { store, browser } = await serve(table, routes)
  const visitor = browser()
  for (let n = 1; n <= 3; n++) {
    await visitor.get('/visit')
    assert.deepEqual(JSON.parse((await visitor.get('/')).text), { visits: n })
  }
  const planted = visitor.cookie
  await visitor.get('/login/alice')
  assert.notEqual(visitor.cookie, planted)
  assert.deepEqual(JSON.parse((await visitor.get('/')).text), { user: 'alice', visits: 3 })
  assert.deepEqual(JSON.parse((await browser(planted).get('/')).text), {})
  assert.equal((await store.sessions.peek(visitor.id)).subject, 'alice')
  const stolen = visitor.cookie
  await visitor.get('/logout')
  assert.deepEqual(JSON.parse((await browser(stolen).get('/')).text), {})
})

test('a renewal gives a new ID, with what the request has changed', async () => {
  const { browser, store } = await serve(table, {
    '/login': async (request, response) => response.send((await logIn(request, 'alice', { user: 'alice' })) ?? 'in'),
    '/role': async (request, response) => {
      request.session.role = 'admin'
      await renew(request)
      response.send(request.sessionID)
    },
    '/late': async (request, response) => {
      await store.sessions.clear(request.sessionID)
      await renew(request)
      response.send('renewed')
    },
    '/': ({ session }, response) => response.send(`${session.user} ${session.role}`),
  })
  const tab = browser()
  await tab.get('/login')
  const [old, stale] = [tab.id, browser(tab.cookie)]
  const { text } = await tab.get('/role')
  assert.equal(text, tab.id)
  assert.notEqual(tab.id, old)
  assert.equal((await tab.get('/')).text, 'alice admin')
  assert.equal((await stale.get('/')).text, 'undefined undefined')

  const { status, set } = await tab.get('/late')
  assert.deepEqual([status, set], [400, undefined])
  const visitor = browser()
  assert.equal((await visitor.get('/role')).status, 200) // it has no session yet
  assert.equal((await visitor.get('/')).text, 'undefined admin')
})

test('log out everywhere', async () => {
  const { store, browser } = await serve(table, routes)
  const [laptop, phone] = [browser(), browser()]
  await laptop.get('/login/bob')
  await phone.get('/login/bob')
  await store.logOutEverywhere('bob')
  for (const each of [laptop, phone]) assert.deepEqual(JSON.parse((await each.get('/')).text), {})
})

const called = (store, method, ...values) =>
  new Promise((resolve, reject) => store[method](...values, (error, value) => (error ? reject(error) : resolve(value))))

test('a set of a program creates a session, and never one that has ended', async () => {
  const store = expressStore(session, { sessions: table.manager(), subject: (data) => data.user })
  const id = 'B'.repeat(31) + 'A'
  const data = { cookie: { originalMaxAge: null }, user: 'bob', n: 1 }
  await called(store, 'touch', id, data)
  assert.equal(await called(store, 'get', id), null)
  await called(store, 'set', id, data)
  const found = await called(store, 'get', id)
  assert.equal(found.n, 1)
  await called(store, 'set', id, { ...found, user: 'carla' })
  assert.deepEqual([(await store.sessionsOf('bob')).length, (await store.sessionsOf('carla')).length], [0, 1])
  await store.logOutEverywhere('carla')
  await assert.rejects(called(store, 'set', id, data), { code: 'NOT_FOUND' })
  assert.equal(await called(store, 'get', id), null)
  assert.equal(await store.get(id), null, 'without a callback it is a promise')
})

test('the end of a session that is used now is known to the millisecond', async () => {
  const store = expressStore(session, { sessions: table.manager({ clock: undefined }) })
  let [began, expires, ended] = []
  do {
    const id = randomBytes(24).toString('base64url')
    began = Date.now()
    await called(store, 'set', id, { cookie: { originalMaxAge: 60_000 }, n: 1 })
    expires = new Date((await called(store, 'get', id)).cookie.expires) - 60_000
    ended = Date.now()
  } while (Math.floor(began / 1000) !== Math.floor(ended / 1000))
  assert.ok(began <= expires && expires <= ended, `${began} ${expires} ${ended}`)
})

test('reload reads what another request has saved', async () => {
  const reload = async (request, response, next) => {
    await store.sessions.update(request.sessionID, { data: { cookie: {}, visits: 7 } })
    request.session.reload((error) => (error ? next(error) : response.send(String(request.session.visits))))
  }
  const { store, browser } = await serve(table, { ...routes, '/reload': reload })
  const visitor = browser()
  await visitor.get('/visit')
  assert.equal((await visitor.get('/reload')).text, '7')
})

test('rotated secrets: the first signs, all verify', async () => {
  const old = await serve(table, routes)
  const visitor = old.browser()
  await visitor.get('/visit')
  const rotated = await serve(table, routes, { options: { secret: ['a newer secret', SECRET] } })
  assert.deepEqual(JSON.parse((await rotated.browser(visitor.cookie).get('/')).text), { visits: 1 })
  const replaced = await serve(table, routes, { options: { secret: 'another one' } })
  replaced.proxy.operations.length = 0
  assert.deepEqual(JSON.parse((await replaced.browser(visitor.cookie).get('/')).text), {})
  assert.deepEqual(replaced.proxy.operations, [], 'a forged cookie costs no request')
})

test('an ID of another form is refused, and a UUID is accepted', async () => {
  const { browser } = await serve(table, routes, { options: { genid: () => crypto.randomUUID() } })
  const visitor = browser()
  await visitor.get('/visit')
  assert.deepEqual(JSON.parse((await visitor.get('/')).text), { visits: 1 })
  const bad = await serve(table, routes, { options: { genid: () => 'x!' } })
  const answered = await bad.browser().get('/visit')
  assert.deepEqual([answered.status, answered.set], [500, undefined])
})

test('the data of a session may name another user, or none', async () => {
  const become = (request, response) => {
    request.session.user = { root: 'root', seven: 7, nobody: null }[request.params.who]
    response.send('done')
  }
  const { store, browser } = await serve(table, { ...routes, '/become/:who': become })
  const visitor = browser()
  await visitor.get('/login/erin')
  for (const [who, subject] of [
    ['root', 'root'],
    ['seven', '7'],
    ['nobody', undefined],
  ]) {
    assert.equal((await visitor.get(`/become/${who}`)).status, 200)
    assert.equal((await store.sessions.peek(visitor.id)).subject, subject)
    assert.equal((await store.sessionsOf('erin')).length, 0)
  }
})

test('a streamed response waits for its session', async () => {
  const stream = (request, response) => {
    request.session.visits = 5
    for (const part of ['a', 'b', 'c']) response.write(part)
    response.end('d')
  }
  const { browser, store } = await serve(table, { ...routes, '/stream': stream })
  const visitor = browser()
  assert.equal((await visitor.get('/stream')).text, 'abcd')
  assert.equal((await store.sessions.peek(visitor.id)).data.visits, 5)
})

test('two middlewares with one store', async () => {
  const { store } = await serve(table, routes)
  const app = express()
  for (const path of ['/one', '/two']) {
    app.use(path, session({ store, secret: SECRET, resave: false, saveUninitialized: false, name: path.slice(1) }))
    app.get(path, (request, response) => {
      request.session.path = path
      response.send('ok')
    })
  }
  const server = app.listen(0, '127.0.0.1').unref()
  await once(server, 'listening')
  for (const path of ['/one', '/two']) {
    const answered = await new Browser(`http://127.0.0.1:${server.address().port}`).get(path)
    assert.ok(answered.set.startsWith(path.slice(1)))
  }
})

test('eight callers at once', async () => {
  const { browser } = await serve(table, routes)
  await Promise.all(
    Array.from({ length: 8 }, async (_, n) => {
      const visitor = browser()
      await visitor.get(`/login/user${n}`)
      for (let visits = 1; visits <= 20; visits++) {
        await visitor.get('/visit')
        assert.deepEqual(JSON.parse((await visitor.get('/')).text), { user: `user${n}`, visits })
      }
      await visitor.get('/logout')
      assert.deepEqual(JSON.parse((await visitor.get('/')).text), {})
    }),
  )
})

test('without a session manager the store makes one of the environment', () => {
  assert.ok(expressStore(session).sessions instanceof SessionManager)
})
