'use strict'
// How long a session and its cookie live.
const assert = require('node:assert/strict')
const { before, test } = require('node:test')
const { routes, serve } = require('./application.js')
const { startTable } = require('./table.js')

let table
before(async () => {
  table = await startTable()
})

test('cookie.maxAge is the idle timeout', async () => {
  const age = async (maxAge) => {
    const { browser, store } = await serve(table, routes, { options: { cookie: { maxAge } } })
    const visitor = browser()
    await visitor.get('/visit')
    return store.sessions.peek(visitor.id)
  }
  assert.equal((await age(600_000)).idleTimeoutSeconds, 600)
  assert.equal((await age(undefined)).idleTimeoutSeconds, 7200)
  assert.equal((await age(14 * 86_400_000)).absoluteTimeoutSeconds, 14 * 86_400)
  assert.equal((await age(365 * 86_400_000)).idleTimeoutSeconds, 2_592_000, 'at most the maximum')
  assert.equal((await age(500)).idleTimeoutSeconds, 1)
  for (const none of [NaN, Infinity, null]) assert.equal((await age(none)).idleTimeoutSeconds, 7200)
  const { browser, store } = await serve(table, {
    ...routes,
    '/expire': (request, response) => {
      request.session.cookie.maxAge = -1
      request.session.visits = 0
      response.send('done')
    },
  })
  const visitor = browser()
  await visitor.get('/visit')
  const { id } = visitor
  await visitor.get('/expire')
  assert.equal(await store.sessions.load(id), undefined)
})

test('a load slides the deadline, and a session ends', async () => {
  const { browser } = await serve(table, routes)
  const visitor = browser()
  await visitor.get('/visit')
  for (let n = 0; n < 5; n++) {
    table.clock.advance(7199)
    assert.deepEqual(JSON.parse((await visitor.get('/')).text), { visits: 1 })
  }
  table.clock.advance(7200)
  assert.deepEqual(JSON.parse((await visitor.get('/')).text), {})
})

test('saveUninitialized, resave, rolling and unset work as documented', async () => {
  const before = await table.records()
  const eager = await serve(table, routes, { options: { saveUninitialized: true } })
  const visitor = eager.browser()
  await visitor.get('/')
  assert.equal(await table.records(), before + 1)
  eager.proxy.operations.length = 0
  await visitor.get('/')
  assert.deepEqual(eager.proxy.operations, ['GetItem'])

  const resaving = await serve(table, routes, { options: { resave: true } })
  const again = resaving.browser()
  await again.get('/visit')
  resaving.proxy.operations.length = 0
  await again.get('/')
  assert.deepEqual(resaving.proxy.operations, ['GetItem'], 'what did not change is not written')

  const rolling = await serve(table, routes, { options: { rolling: true, cookie: { maxAge: 60_000 } } })
  const roller = rolling.browser()
  await roller.get('/visit')
  table.clock.advance(10)
  assert.ok((await roller.get('/')).set, 'the cookie is renewed with the session')

  const unset = (request, response) => {
    delete request.session
    response.send('done')
  }
  const destroying = await serve(table, { ...routes, '/unset': unset }, { options: { unset: 'destroy' } })
  const leaver = destroying.browser()
  await leaver.get('/visit')
  await leaver.get('/unset')
  assert.equal(await destroying.store.sessions.load(leaver.id), undefined)
})

test('a longer maxAge, a shorter one and none are stored without other changes', async () => {
  const age = (request, response) => {
    request.session.cookie.maxAge = request.params.age === 'none' ? null : Number(request.params.age)
    response.send('set')
  }
  const { browser, store } = await serve(table, { ...routes, '/age/:age': age })
  const visitor = browser()
  await visitor.get('/visit')
  for (const [given, seconds] of [[1_209_600_000, 1_209_600], [300_000, 300], ['none', 7200]]) {
    const answered = await visitor.get(`/age/${given}`)
    const record = await store.sessions.peek(visitor.id)
    assert.equal(record.idleTimeoutSeconds, seconds)
    if (given === 'none') continue
    const ends = Date.parse(/Expires=([^;]+)/.exec(answered.set)[1])
    assert.ok(Math.abs(ends - Date.now() - given) < 5000)
  }
})
