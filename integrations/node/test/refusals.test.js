'use strict'
// What a browser gets when a session cannot be stored or read.
const assert = require('node:assert/strict')
const { before, test } = require('node:test')
const { failure, routes, serve } = require('./application.js')
const { startTable } = require('./table.js')

let table
before(async () => {
  table = await startTable()
})

test('a refused login leaves the user out', async () => {
  const unsaved = (request, response, next) => {
    request.session.regenerate((error) => {
      if (error) return next(error)
      request.session.user = request.params.user
      response.send('in')
    })
  }
  const { browser } = await serve(
    table,
    { ...routes, '/unsaved/:user': unsaved },
    { settings: { maxPerSubject: 1, atMaxPerSubject: 'refuse' } },
  )
  await browser().get('/log-in/gina')
  const visitor = browser()
  await visitor.get('/set/cart/apple')
  for (const path of ['/log-in/gina', '/unsaved/gina']) {
    const before = visitor.cookie
    const answered = await visitor.get(path)
    assert.deepEqual([answered.status, answered.set], [409, undefined], path)
    assert.equal(visitor.cookie, before)
    if (path === '/log-in/gina') assert.deepEqual(JSON.parse((await visitor.get('/all')).text), { cart: 'apple' })
  }
  const answered = await browser().get('/unsaved/gina')
  assert.deepEqual([answered.status, answered.set], [409, undefined])
})

test('an outage while a session is stored is 503, without a cookie', async () => {
  const { browser, proxy } = await serve(table, routes)
  const visitor = browser()
  await visitor.get('/set/x/0')
  proxy.isOutage = true
  for (const each of [browser(), visitor]) {
    const answered = await each.get('/set/y/1')
    assert.deepEqual([answered.status, answered.set], [503, undefined])
  }
  proxy.isOutage = false
  assert.deepEqual(JSON.parse((await visitor.get('/all')).text), { x: '0' })
})

test('an outage is no logout', async () => {
  const { browser, errors } = await serve(table, routes, { settings: { endpointUrl: 'http://127.0.0.1:9' } })
  const visitor = browser(`connect.sid=s%3A${'A'.repeat(32)}.x`)
  visitor.cookie = await (async () => {
    const working = await serve(table, routes)
    const other = working.browser()
    await other.get('/visit')
    return other.cookie
  })()
  const response = await visitor.get('/')
  assert.deepEqual([response.status, response.set], [503, undefined])
  assert.equal((await failure(errors)).code, 'UNAVAILABLE')
})
