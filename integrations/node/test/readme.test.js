'use strict'
// The code in README.md.
const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const { before, test } = require('node:test')
const { promisify } = require('node:util')
const { expressStore, logIn } = require('dynamodb-web-session')
const { startTable } = require('./table.js')

const README = process.env.README ?? `${__dirname}/../README.md`
const [EXPRESS, PLAIN, FETCH, FASTIFY, KOA] = [...fs.readFileSync(README, 'utf8').matchAll(/^```js\n([^]*?)^```/gm)].map(([, code]) => code)

let table
before(async () => {
  table = await startTable()
})

test('the program without Express prints what it says', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', PLAIN], { env: table.environment, cwd: __dirname })
  assert.equal(stdout, 'undefined\n')
})

test('the Express application', async () => {
  for (const [name, value] of Object.entries(table.environment)) process.env[name] = value
  process.env.SECRET = 'secret'
  const { app, store } = new Function('require', `${EXPRESS}; return { app, store }`)(require)
  app.set('trust proxy', true)
  const server = app.listen(0, '127.0.0.1').unref()
  await once(server, 'listening')
  const url = `http://127.0.0.1:${server.address().port}`
  const headers = { 'x-forwarded-proto': 'https' }
  const login = await fetch(`${url}/login`, { method: 'POST', headers })
  assert.equal(await login.text(), 'welcome')
  const [cookie] = login.headers.getSetCookie()
  assert.match(cookie, /Secure/)
  assert.equal((await store.sessions.sessionsOf('alice')).length, 1)
  const everywhere = await fetch(`${url}/everywhere`, { method: 'POST', headers: { ...headers, cookie: cookie.split(';')[0] } })
  assert.equal(await everywhere.text(), 'good bye')
  assert.deepEqual(await store.sessions.sessionsOf('alice'), [])
})

test('the login with Request and Response', async () => {
  const { login, getSession } = new Function('require', `${FETCH}; return { login, getSession }`)(require)
  const response = await login(new Request('https://shop.example/login', { method: 'POST' }))
  const session = await getSession(response.headers.get('set-cookie').split(';')[0])
  assert.equal(session.user, 'alice')
})

test('Fastify and Koa', async (t) => {
  for (const [name, value] of Object.entries(table.environment)) process.env[name] = value
  process.env.SECRET = 'only for this test, and 32 characters'
  const run = (code, app) => new Function('require', 'expressStore', 'app', `${code}; return store`)(require, expressStore, app)

  const fastify = require('fastify')({ trustProxy: true })
  t.after(() => fastify.close())
  const store = run(FASTIFY, fastify)
  fastify.post('/login', async (request) => logIn(request, 'fred', { user: 'fred' }))
  const { headers } = await fastify.inject({ method: 'POST', url: '/login', headers: { 'x-forwarded-proto': 'https' } })
  assert.match(headers['set-cookie'], /^sessionId=.*Secure/)
  assert.equal((await store.sessions.sessionsOf('fred')).length, 1)

  const koa = new (require('koa'))()
  run(KOA, koa)
  koa.use(async (ctx) => (ctx.body = await logIn(ctx, 'karl', { user: 'karl' })))
  const server = koa.listen(0, '127.0.0.1').unref()
  await once(server, 'listening')
  const answer = await fetch(`http://127.0.0.1:${server.address().port}/login`, { method: 'POST' })
  assert.match(answer.headers.getSetCookie()[0], /^koa.sess=/)
  assert.equal((await store.sessions.sessionsOf('karl')).length, 1)
})
