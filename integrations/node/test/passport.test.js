'use strict'
// passport as its pages say, on the store for express-session.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const { before, test } = require('node:test')
const express = require('express')
const session = require('express-session')
const { Passport } = require('passport')
const { expressStore } = require('dynamodb-web-session')
const { startTable } = require('./table.js')

let table
before(async () => {
  table = await startTable()
})

async function serve(settings = {}) {
  const passport = new Passport()
  passport.use({
    name: 'local',
    authenticate(request) {
      this.success({ id: Number(request.query.id) })
    },
  })
  passport.serializeUser((user, done) => done(null, user.id))
  passport.deserializeUser((id, done) => done(null, { id }))
  const store = expressStore(session, { sessions: table.manager(settings), subject: (data) => data.passport?.user })
  const app = express()
  app.use(session({ store, secret: 'only for tests', resave: false, saveUninitialized: false }))
  app.use(passport.session())
  app.post('/login', passport.authenticate('local'), (request, response) => response.send('in'))
  app.post('/logout', (request, response, next) =>
    request.logout({ keepSessionInfo: request.query.keep === 'yes' }, (error) => (error ? next(error) : response.send('out'))),
  )
  app.post('/cart', (request, response) => {
    request.session.cart = ['apple']
    response.send('added')
  })
  app.get('/', (request, response) => response.json({ user: request.user?.id, cart: request.session.cart }))
  app.use((error, request, response, next) => response.status(error.code === 'TOO_MANY_SESSIONS' ? 409 : 500).send(error.code))
  const server = app.listen(0, '127.0.0.1').unref()
  await once(server, 'listening')
  let cookie
  const call = async (method, path) => {
    const headers = cookie ? { cookie } : {}
    const response = await fetch(`http://127.0.0.1:${server.address().port}${path}`, { method, headers })
    const [set] = response.headers.getSetCookie()
    if (set) cookie = set.split(';')[0]
    return { status: response.status, set, text: await response.text() }
  }
  const who = async () => JSON.parse((await call('GET', '/')).text)
  const forget = () => (cookie = undefined)
  return { store, call, who, forget }
}

for (const keep of ['no', 'yes']) {
  test(`login and logout, keepSessionInfo: ${keep}`, async () => {
    const { store, call, who } = await serve()
    await call('POST', '/cart')
    assert.equal((await call('POST', '/login?id=7')).status, 200)
    assert.equal((await who()).user, 7)
    assert.equal((await store.sessionsOf(7)).length, 1)
    assert.equal((await call('POST', `/logout?keep=${keep}`)).status, 200)
    assert.equal((await who()).user, undefined)
    assert.equal((await store.sessionsOf(7)).length, 0)
  })
}

test('a refused login leaves the user out', async () => {
  const { call, who, forget } = await serve({ maxPerSubject: 1, atMaxPerSubject: 'refuse' })
  await call('POST', '/login?id=8')
  forget()
  const refused = await call('POST', '/login?id=8')
  assert.deepEqual([refused.status, refused.set], [409, undefined])
  assert.equal((await who()).user, undefined)
})

test('log out everywhere', async () => {
  const { store, call, who } = await serve()
  await call('POST', '/login?id=9')
  await store.logOutEverywhere(9)
  assert.equal((await who()).user, undefined)
})
