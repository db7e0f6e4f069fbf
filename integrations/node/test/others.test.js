'use strict'
// The store under @fastify/session and koa-session, used as their pages say.

const assert = require('node:assert')
const { once } = require('node:events')
const { test } = require('node:test')
const expressSession = require('express-session')
const { expressStore } = require('dynamodb-web-session')
const { startTable } = require('./table.js')

async function startStore() {
  const table = await startTable()
  const sessions = table.manager()
  return { sessions, store: expressStore(expressSession, { sessions, subject: (data) => data.user }) }
}

/** A browser that keeps the cookies of what `send` returns: a status, a text and the `set-cookie` headers. */
function browser(send) {
  const cookies = new Map()
  return async (method, path) => {
    const cookie = [...cookies].map((pair) => pair.join('=')).join('; ')
    const { status, text, set } = await send(method, path, cookie)
    for (const line of set) {
      const [, name, value] = line.match(/^([^=]+)=([^;]*)/)
      cookies.set(name, value)
    }
    return [status, text]
  }
}

test('@fastify/session', async (t) => {
  const { sessions, store } = await startStore()
  const app = require('fastify')()
  t.after(() => app.close())
  app.register(require('@fastify/cookie'))
  app.register(require('@fastify/session'), { secret: 's'.repeat(32), store, cookie: { secure: false } })
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
  const visit = () =>
    browser(async (method, url, cookie) => {
      const response = await app.inject({ method, url, headers: { cookie } })
      return { status: response.statusCode, text: response.body, set: [response.headers['set-cookie'] ?? []].flat() }
    })
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

test('koa-session', async (t) => {
  const { sessions, store } = await startStore()
  const Koa = require('koa')
  const koaSession = require('koa-session')
  const app = new Koa()
  app.keys = ['secret']
  app.use((koaSession.default ?? koaSession.createSession ?? koaSession)({ store }, app))
  app.use(async (ctx) => {
    if (ctx.path === '/login') {
      await ctx.session.regenerate?.()
      ctx.session.user = 'alice'
    }
    if (ctx.path === '/count') ctx.session.n = (ctx.session.n ?? 0) + 1
    if (ctx.path === '/logout') ctx.session = null
    ctx.body = `${ctx.session?.user ?? 'nobody'} ${ctx.session?.n ?? 0}`
  })
  const server = app.listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const visit = browser(async (method, path, cookie) => {
    const response = await fetch(`http://127.0.0.1:${server.address().port}${path}`, { method, headers: { cookie } })
    return { status: response.status, text: await response.text(), set: response.headers.getSetCookie() }
  })
  assert.deepEqual(await visit('POST', '/count'), [200, 'nobody 1'])
  assert.deepEqual(await visit('POST', '/count'), [200, 'nobody 2'])
  assert.deepEqual(await visit('POST', '/login'), [200, 'alice 2'])
  assert.deepEqual(await visit('GET', '/'), [200, 'alice 2'])
  assert.equal((await sessions.sessionsOf('alice')).length, 1)
  assert.deepEqual(await visit('POST', '/logout'), [200, 'nobody 0'])
  assert.deepEqual(await visit('GET', '/'), [200, 'nobody 0'])
  assert.equal((await sessions.sessionsOf('alice')).length, 0)
})
