'use strict'
// Requests of one browser that come at the same time.
const assert = require('node:assert/strict')
const { before, test } = require('node:test')
const session = require('express-session')
const { expressStore, logIn } = require('dynamodb-web-session')
const { during, meanwhile, routes, serve } = require('./application.js')
const { startTable } = require('./table.js')
const atOnce = require('../../../tests/cases/requests_at_once.json')

let table
before(async () => {
  table = await startTable()
})

test('a set after a destroy never brings a session back', async () => {
  let meanwhile
  const slow = async (request, response) => {
    request.session.visits = -1
    await meanwhile(request)
    response.send('slow')
  }
  const { store, browser } = await serve(table, { ...routes, '/slow': slow })
  const other = expressStore(session, { sessions: table.manager() }) // as in another process
  for (const destroy of [
    (id) => store.sessions.clear(id),
    (id) => new Promise((resolve, reject) => store.destroy(id, (error) => (error ? reject(error) : resolve()))),
    (id) => new Promise((resolve, reject) => other.destroy(id, (error) => (error ? reject(error) : resolve()))),
    () => store.logOutEverywhere('carol'),
  ]) {
    const visitor = browser()
    await visitor.get('/login/carol')
    meanwhile = () => destroy(visitor.id)
    const answered = await visitor.get('/slow')
    assert.deepEqual([answered.status, answered.set], [400, undefined])
    assert.equal(await store.sessions.load(visitor.id), undefined)
  }
  // A session that was made in this request is created once: destroyed meanwhile, it stays dead.
  const visitor = browser()
  meanwhile = async (request) => {
    await new Promise((resolve) => request.session.save(resolve))
    await store.sessions.clear(request.sessionID)
    request.session.visits = -2
  }
  const answered = await visitor.get('/slow')
  assert.deepEqual([answered.status, answered.set], [400, undefined])
})

test('the cases of requests at once', async () => {
  const { browser } = await serve(table, routes)
  const change = (changes) => `/change?${new URLSearchParams({ changes: JSON.stringify(changes) })}`
  for (const { rule, stored, meanwhile, request, left } of atOnce) {
    const visitor = browser()
    await visitor.get(change({ set: stored }))
    during(() => browser(visitor.cookie).get(change(meanwhile)))
    await visitor.get(change(request))
    assert.deepEqual(JSON.parse((await visitor.get('/all')).text), left, rule)
  }
})

test('requests at once do not lose each other’s changes', async () => {
  const { browser } = await serve(table, routes)
  const visitor = browser()
  await visitor.get('/set/x/0')
  during(() => browser(visitor.cookie).get('/set/b/2'))
  await visitor.get('/set/a/1')
  during(() => browser(visitor.cookie).get('/set/c/3'))
  await visitor.get('/pop/x')
  assert.deepEqual(JSON.parse((await visitor.get('/all')).text), { a: '1', b: '2', c: '3' })
})

for (const options of [{}, { rolling: true, cookie: { maxAge: 3_600_000 } }, { resave: true, saveUninitialized: true }]) {
  test(`a slow and a late request leave the cookie of a login, ${JSON.stringify(options)}`, async () => {
    const { browser } = await serve(table, routes, { options })
    const visitor = browser()
    await visitor.get('/set/x/0')
    const old = visitor.cookie
    for (const [path, status] of [['/pop/nothing', 200], ['/set/x/0', 200], ['/set/y/1', 400]]) {
      let login
      during(async () => {
        const other = browser(visitor.cookie)
        await other.get('/log-in/alice')
        login = other.cookie
      })
      const answered = await visitor.get(path)
      assert.deepEqual([answered.status, answered.set], [status, undefined], path)
      visitor.cookie = login
      assert.deepEqual(JSON.parse((await visitor.get('/all')).text), { x: '0', user: 'alice' })
    }
    for (const [path, status] of [['/pop/nothing', 200], ['/set/y/1', 400]]) {
      const answered = await browser(old).get(path)
      assert.deepEqual([answered.status, answered.set], [status, undefined], path)
    }
  })
}

test('a double click on "log in" leaves the user logged in', async () => {
  const { browser } = await serve(table, {
    ...routes,
    '/click': async (request, response) => {
      await meanwhile()
      await logIn(request, 'alice', { user: 'alice' })
      response.send('in')
    },
  })
  const visitor = browser()
  await visitor.get('/set/cart/apple')
  during(() => browser(visitor.cookie).get('/log-in/alice'))
  await visitor.get('/click')
  assert.equal(JSON.parse((await visitor.get('/all')).text).user, 'alice')
})
