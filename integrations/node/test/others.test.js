'use strict'
// The store under @fastify/session and koa-session, used as their pages say.

const assert = require('node:assert')
const { test } = require('node:test')
const expressSession = require('express-session')
const { serveFastify, serveKoa, startStore } = require('./servers.js')
const atOnce = require('../../../tests/cases/requests_at_once.json')

let act
async function meanwhile() {
  const now = act
  act = undefined
  await now?.()
}

/** What a request of the cases changes. */
async function change(session, query) {
  const { set, remove = [] } = JSON.parse(query)
  Object.assign(session, set)
  for (const key of remove) delete session[key]
  await meanwhile()
}

/** The cases, with a new browser for each: `visit(other)` makes one, with the cookies of another one. */
async function requestsAtOnce(visit, isStored = () => true) {
  const path = (changes) => `/change?${new URLSearchParams({ changes: JSON.stringify(changes) })}`
  for (const { rule, stored, meanwhile, request, left } of atOnce) {
    const tab = visit()
    await tab('POST', path({ set: stored }))
    const other = visit(tab)
    act = () => other('POST', path(meanwhile))
    assert.equal((await tab('POST', path(request)))[0], 200, rule)
    const expected = Object.fromEntries(Object.entries(left).filter(([key]) => isStored(key)))
    assert.deepEqual(JSON.parse((await tab('GET', '/all'))[1]), expected, rule)
  }
}

const asItIs = require('@fastify/session')

test('@fastify/session', async (t) => {
  const { sessions, store } = await startStore(expressSession)
  const { app, visit } = serveFastify(t, asItIs, { store })
  app.get('/', async (request) => request.session.user ?? 'nobody')
  app.post('/count', async (request) => String((request.session.n = (request.session.n ?? 0) + 1)))
  app.post('/login', async (request) => {
    await request.session.regenerate()
    request.session.user = 'alice'
    return 'welcome'
  })
  app.post('/logout', async (request) => {
    await request.session.destroy()
    return 'bye'
  })
  const warnings = []
  const warned = (warning) => warnings.push(warning.code)
  process.on('warning', warned)
  const [laptop, phone] = [visit(), visit()]
  assert.deepEqual(await laptop('POST', '/count'), [200, '1'])
  assert.deepEqual(await laptop('POST', '/count'), [200, '2'])
  for (const device of [laptop, phone]) {
    assert.deepEqual(await device('POST', '/login'), [200, 'welcome'])
    assert.deepEqual(await device('GET', '/'), [200, 'alice'])
  }
  assert.equal((await sessions.sessionsOf('alice')).length, 2)
  assert.deepEqual(await laptop('POST', '/logout'), [200, 'bye'])
  assert.deepEqual(await laptop('GET', '/'), [200, 'nobody'])
  await sessions.revokeAll('alice')
  assert.deepEqual(await phone('GET', '/'), [200, 'nobody'])
  process.off('warning', warned)
  assert.ok(!warnings.includes('DYNAMODB_WEB_SESSION_FIXATION'), 'regenerate was called')
})

test('what a request of Fastify costs, and which is a use of its session', async (t) => {
  const { clock, proxy, store } = await startStore(expressSession, { passivePaths: ['/poll'] })
  const { app, visit } = serveFastify(t, asItIs, { store })
  app.get('/', async ({ session }) => String(session.n))
  app.get('/poll', async ({ session }) => String(session.n))
  app.post('/', async ({ session }) => String((session.n = (session.n ?? 0) + 1)))
  const tab = visit()
  const cost = async (...request) => {
    proxy.operations.length = 0
    await tab(...request)
    return [...proxy.operations]
  }
  assert.deepEqual(await cost('POST', '/'), ['GetItem', 'PutItem'])
  assert.deepEqual(await cost('GET', '/'), ['GetItem'])
  assert.deepEqual(await cost('POST', '/'), ['GetItem', 'UpdateItem'])
  clock.advance(60)
  assert.deepEqual(await cost('GET', '/poll?since=1'), ['GetItem'])
  assert.deepEqual(await cost('GET', '/'), ['GetItem', 'UpdateItem'])
})

test('requests at once in Fastify', async (t) => {
  const { store } = await startStore(expressSession)
  const { app, visit } = serveFastify(t, asItIs, { store })
  app.post('/change', async ({ session, query }) => {
    await change(session, query.changes)
    return 'changed'
  })
  app.get('/all', async ({ session }) => {
    const { cookie: _, ...data } = session
    return data
  })
  await requestsAtOnce(visit)
})

test('koa-session', async (t) => {
  const { sessions, clock, proxy, store } = await startStore(expressSession)
  const visit = (await serveKoa(t, store, async (ctx) => {
    if (ctx.path === '/login') {
      await ctx.session.regenerate?.()
      ctx.session.user = 'alice'
    }
    if (ctx.path === '/count') ctx.session.n = (ctx.session.n ?? 0) + 1
    if (ctx.path === '/logout') ctx.session = null
    ctx.body = `${ctx.session?.user ?? 'nobody'} ${ctx.session?.n ?? 0}`
    if (ctx.path === '/devices') ctx.body = await store.sessionsOf('alice', { current: ctx })
  }))()
  assert.deepEqual(await visit('POST', '/count'), [200, 'nobody 1'])
  assert.deepEqual(await visit('POST', '/count'), [200, 'nobody 2'])
  assert.deepEqual(await visit('POST', '/login'), [200, 'alice 2'])
  assert.deepEqual(await visit('GET', '/'), [200, 'alice 2'])
  const [device, ...others] = JSON.parse((await visit('GET', '/devices'))[1])
  assert.deepEqual([device.label, device.context, device.isCurrent, others], ['Firefox on Linux', { address: '127.0.0.1' }, true, []])
  assert.deepEqual(await visit('POST', '/logout'), [200, 'nobody 0'])
  assert.deepEqual(await visit('GET', '/'), [200, 'nobody 0'])
  assert.equal((await sessions.sessionsOf('alice')).length, 0)


  // The session lives as long as the cookie: `maxAge` is a day, to which koa-session adds ten seconds.
  await visit('POST', '/login')
  proxy.operations.length = 0
  assert.deepEqual(await visit('GET', '/'), [200, 'alice 0'])
  assert.deepEqual(proxy.operations, ['GetItem'])
  clock.advance(86_409)
  assert.deepEqual(await visit('GET', '/'), [200, 'alice 0'])
  clock.advance(2)
  assert.deepEqual(await visit('GET', '/'), [200, 'nobody 0'])
})

test('a request of Koa that only reads is a use of its session', async (t) => {
  const { clock, store } = await startStore(expressSession, { passivePaths: ['/poll'] })
  const count = async (ctx) => {
    if (ctx.method === 'POST') ctx.session.n = 1
    ctx.body = String(ctx.session.n)
  }
  const visit = (await serveKoa(t, store, count, { maxAge: 'session' }))()
  await visit('POST', '/')
  for (let n = 0; n < 3; n++) {
    clock.advance(7199)
    assert.deepEqual(await visit('GET', '/'), [200, '1'])
  }
  clock.advance(7199)
  assert.deepEqual(await visit('GET', '/poll'), [200, '1'])
  clock.advance(1)
  assert.deepEqual(await visit('GET', '/'), [200, 'undefined'])
})

test('requests at once in Koa', async (t) => {
  const { store } = await startStore(expressSession)
  const visit = await serveKoa(t, store, async (ctx) => {
    if (ctx.path === '/change') await change(ctx.session, ctx.query.changes)
    ctx.body = ctx.session.toJSON()
  })
  await requestsAtOnce(visit, (key) => key[0] !== '_') // koa-session stores no keys that begin so
})
