'use strict'
// Where a user is logged in: labels, the end of one session, and how long ago the login was.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const { before, test } = require('node:test')
const express = require('express')
const expressSession = require('express-session')
const { confirmLogin, expressStore, fetchSessions, logIn, requiresLoginWithin } = require('dynamodb-web-session')
const { startProxy, startTable } = require('./table.js')

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'

let table
before(async () => {
  table = await startTable()
})

test('the verbs carry labels and the time of the login', async () => {
  const sessions = table.manager()
  const context = { country: 'NZ', n: [1, null] }
  const created = await sessions.create({}, { subject: 'ann', label: '<b>\n', context })
  assert.deepEqual([created.label, created.context], ['<b>\n', context])
  assert.deepEqual(created.authenticatedAt, created.created)
  table.clock.advance(60)
  const again = await sessions.logIn(created, 'ann', { label: 'laptop' })
  assert.deepEqual([again.label, again.context], ['laptop', context])
  assert.ok(again.authenticatedAt > created.created)
  await sessions.update(again, { label: '', context: '' })
  const without = await sessions.load(again)
  assert.deepEqual([without.label, without.context], [undefined, undefined])
  const other = await sessions.create({}, { subject: 'ann', label: 'phone' })
  const listed = await sessions.sessionsOf('ann', { current: again })
  assert.deepEqual(listed.map(({ label, isCurrent }) => [label, isCurrent]).sort(), [[undefined, true], ['phone', false]].sort())
  const { name } = listed.find(({ loggableId }) => loggableId === other.loggableId)
  assert.equal(await sessions.revokeNamed('bob', name), false)
  assert.equal(await sessions.revokeNamed('ann', name), true)
  assert.equal(await sessions.load(other), undefined)
  table.clock.advance(601)
  assert.equal(sessions.isLoggedInWithin(again, 10), false)
  await sessions.confirmLogin(again)
  assert.equal(sessions.isLoggedInWithin(await sessions.load(again), 10), true)
  assert.equal(sessions.isLoggedInWithin(undefined, 10), false)
  await assert.rejects(sessions.confirmLogin(other), { code: 'NOT_FOUND' })
  await assert.rejects(sessions.create({}, { label: 'a'.repeat(65) }), /at most 64 bytes/)
  await assert.rejects(sessions.create({}, { context: 'a'.repeat(127) }), /at most 128 bytes/)
  await assert.rejects(sessions.create({}, { label: 1 }), /must be a string/)
})

async function serve(app) {
  const server = app.listen(0, '127.0.0.1').unref()
  await once(server, 'listening')
  const url = `http://127.0.0.1:${server.address().port}`
  return (headers) => {
    let cookie
    return async (method, path) => {
      const response = await fetch(url + path, { method, headers: { ...headers, ...(cookie && { cookie }) } })
      const [set] = response.headers.getSetCookie()
      if (set) cookie = set.split(';')[0]
      const text = await response.text()
      return { status: response.status, text, json: () => JSON.parse(text) }
    }
  }
}

test('express', async () => {
  const proxy = await startProxy(table.url)
  const sessions = table.manager({ endpointUrl: proxy.url })
  const store = expressStore(expressSession, { sessions, subject: (data) => data.user })
  const app = express()
  app.set('trust proxy', 1)
  app.use(expressSession({ store, secret: 's'.repeat(32), resave: false, saveUninitialized: false }))
  app.post('/login/:user', async (request, response) => {
    const { user } = request.params
    await logIn(request, user, { user })
    response.send('in')
  })
  app.post('/password', async (request, response) => {
    await confirmLogin(request)
    response.send('confirmed')
  })
  app.get('/devices', async (request, response) => {
    response.json(await store.sessionsOf(request.session.user, { current: request }))
  })
  app.post('/end/:name', async (request, response) => {
    response.json(await store.revoke(request.session.user, request.params.name))
  })
  app.post('/serious', requiresLoginWithin(10), (request, response) => response.send('done'))
  app.post('/others', async (request, response) => {
    await store.logOutEverywhere(request.session.user, { except: request })
    response.send('alone')
  })
  app.post('/password/changed', (request, response, next) => {
    const { user } = request.session
    request.session.regenerate(() => {
      request.session.user = user
      request.session.save(() => store.logOutEverywhere(user, { except: request }).then(() => response.send('alone'), next))
    })
  })
  const browser = await serve(app)
  const laptop = browser({ 'user-agent': FIREFOX, 'x-forwarded-for': '10.0.0.1, 192.0.2.1' })
  const phone = browser({ 'user-agent': 'x', 'sec-ch-ua': '"Brave";v="1"', 'sec-ch-ua-platform': '"Android"' })
  const stranger = browser({ 'user-agent': '<script>' })
  assert.equal((await laptop('POST', '/serious')).status, 401)
  assert.deepEqual(proxy.operations, [], 'a visitor costs no request')
  await laptop('POST', '/login/ada')
  table.clock.advance(1)
  await phone('POST', '/login/ada')
  await stranger('POST', '/login/eve')
  const [first, second] = (await laptop('GET', '/devices')).json()
  assert.deepEqual([first.label, first.isCurrent], ['Brave on Android', false])
  assert.deepEqual([second.label, second.context, second.isCurrent], ['Firefox on Linux', { address: '192.0.2.1' }, true])
  assert.equal((await laptop('POST', '/serious')).text, 'done')
  table.clock.advance(601)
  const refused = await laptop('POST', '/serious')
  assert.deepEqual([refused.status, refused.text], [401, 'Log in again.'])
  await laptop('POST', '/password')
  assert.equal((await laptop('POST', '/serious')).text, 'done')
  assert.equal((await stranger('POST', `/end/${first.name}`)).json(), false)
  assert.equal((await laptop('POST', `/end/${first.name}`)).json(), true)
  assert.equal((await phone('POST', '/serious')).status, 401)
  await phone('POST', '/login/ada')
  await laptop('POST', '/others')
  assert.equal((await laptop('GET', '/devices')).json().length, 1)
  assert.equal((await sessions.sessionsOf('ada')).length, 1)
  await phone('POST', '/login/ada')
  await laptop('POST', '/password/changed')
  assert.deepEqual((await laptop('GET', '/devices')).json().map(({ isCurrent }) => isCurrent), [true])
})

/** An application in Fastify, and the answer to a login in it. */
async function fastify(t, sessions) {
  const store = expressStore(expressSession, { sessions, subject: (data) => data.user })
  const app = require('fastify')()
  t.after(() => app.close())
  app.register(require('@fastify/cookie'))
  app.register(require('@fastify/session'), { secret: 's'.repeat(32), store, cookie: { secure: false } })
  app.post('/login', async (request) => {
    await request.session.regenerate()
    request.session.user = 'grace'
    return 'welcome'
  })
  app.get('/devices', async (request) => store.sessionsOf('grace', { current: request }))
  app.post('/serious', { preHandler: requiresLoginWithin(10) }, async () => 'done')
  return { app, login: await app.inject({ method: 'POST', url: '/login', headers: { 'user-agent': FIREFOX } }) }
}

test('Fastify', async (t) => {
  const { app, login } = await fastify(t, table.manager())
  const cookie = login.headers['set-cookie'].split(';')[0]
  const [device] = (await app.inject({ url: '/devices', headers: { cookie } })).json()
  assert.deepEqual([device.label, device.context, device.isCurrent], ['Firefox on Linux', { address: '127.0.0.1' }, true])
  const serious = () => app.inject({ method: 'POST', url: '/serious', headers: { cookie } })
  assert.equal((await serious()).body, 'done')
  table.clock.advance(601)
  assert.equal((await serious()).statusCode, 401)
})

test('a setting leaves labels out', async (t) => {
  const sessions = table.manager({ labels: false })
  await sessions.revokeAll('grace')
  await fastify(t, sessions)
  const [device] = await sessions.sessionsOf('grace')
  assert.deepEqual([device.label, device.context], [undefined, undefined])
})

test('Request and Response', async () => {
  const { sessions, getSession, commit } = fetchSessions({ sessions: table.manager(), address: (request) => request.headers.get('x-real-ip') })
  const headers = { 'user-agent': FIREFOX, 'x-real-ip': '192.0.2.9' }
  const session = await getSession(new Request('https://shop.example/', { headers }))
  await session.logIn('linus')
  const cookie = (await commit(session)).split(';')[0]
  const next = await getSession(new Request('https://shop.example/', { headers: { cookie } }))
  const [device] = await sessions.sessionsOf('linus', { current: next.record })
  assert.deepEqual([device.label, device.context, device.isCurrent], ['Firefox on Linux', { address: '192.0.2.9' }, true])
  table.clock.advance(601)
  assert.equal(next.isLoggedInWithin(10), false)
  await next.confirmLogin()
  assert.equal(next.isLoggedInWithin(10), true)
})

test('labels can be turned off, and encrypted', async () => {
  const { sessions, getSession } = fetchSessions({ sessions: table.manager({ labels: false }) })
  const session = await getSession(new Request('https://shop.example/', { headers: { 'user-agent': FIREFOX } }))
  await session.logIn('nameless')
  assert.deepEqual((await sessions.sessionsOf('nameless')).map(({ label }) => label), [undefined])
  const hidden = table.manager({ labelKey: 'k'.repeat(32) })
  await hidden.create({}, { subject: 'hidden', label: 'Wellington' })
  const items = JSON.stringify((await table.client.scan({ TableName: table.name })).Items)
  assert.ok(!items.includes('Wellington'))
  assert.deepEqual((await hidden.sessionsOf('hidden')).map(({ label }) => label), ['Wellington'])
})
