'use strict'
const assert = require('node:assert/strict')
const { once } = require('node:events')
const { before, test } = require('node:test')
const express = require('express')
const session = require('express-session')
const { SessionManager, expressStore } = require('dynamodb-web-session')
const { startTable } = require('./table.js')

let table
before(async () => {
  table = await startTable()
})

const SECRET = 'a secret of at least 32 characters!!'

/** A session manager that counts its calls. */
function counted(sessions) {
  const calls = []
  const counting = new Proxy(sessions, {
    get(target, name) {
      const value = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      return (...values) => {
        calls.push(name)
        return value.apply(target, values)
      }
    },
  })
  return { calls, counting }
}

/** An application on a free port, with what its routes do. */
async function serve(routes, { options = {}, settings = {}, subject = (data) => data.user } = {}) {
  const { calls, counting } = counted(table.manager(settings))
  const store = expressStore(session, { sessions: counting, subject })
  const app = express()
  const errors = []
  app.use(session({ store, secret: SECRET, resave: false, saveUninitialized: false, ...options }))
  for (const [path, route] of Object.entries(routes)) app.all(path, route)
  app.use((error, request, response, next) => {
    errors.push(error)
    if (response.headersSent) return response.destroy()
    response.status(error.code === 'UNAVAILABLE' ? 503 : 500).end()
  })
  const server = app.listen(0, '127.0.0.1').unref()
  await once(server, 'listening')
  const url = `http://127.0.0.1:${server.address().port}`
  return { url, store, calls, errors, browser: (cookie) => new Browser(url, cookie) }
}

/** The next error that has reached the application's handler: express-session reports one after it has sent the response. */
async function failure(errors) {
  while (errors.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  return errors.pop()
}

class Browser {
  constructor(url, cookie) {
    Object.assign(this, { url, cookie })
  }

  async get(path) {
    const headers = this.cookie ? { cookie: this.cookie } : {}
    const response = await fetch(this.url + path, { headers })
    const [set] = response.headers.getSetCookie()
    if (set) this.cookie = set.split(';')[0]
    return { status: response.status, set, text: await response.text() }
  }

  get id() {
    return decodeURIComponent(this.cookie).split('s:')[1].split('.')[0]
  }
}

const routes = {
  '/': (request, response) => response.send(JSON.stringify({ user: request.session.user, visits: request.session.visits })),
  '/visit': (request, response) => {
    request.session.visits = (request.session.visits ?? 0) + 1
    response.send('counted')
  },
  '/login/:user': (request, response, next) => {
    const { visits } = request.session
    request.session.regenerate((error) => {
      if (error) return next(error)
      Object.assign(request.session, { visits, user: request.params.user })
      request.session.save((error) => (error ? next(error) : response.send('in')))
    })
  },
  '/logout': (request, response, next) => request.session.destroy((error) => (error ? next(error) : response.send('out'))),
}

test('what a request costs', async () => {
  const { calls, browser } = await serve(routes)
  const visitor = browser()
  const cost = async (path) => {
    calls.length = 0
    await visitor.get(path)
    return [...calls]
  }
  assert.deepEqual(await cost('/'), [])
  assert.deepEqual(await cost('/visit'), ['createUnderGivenId'])
  assert.deepEqual(await cost('/'), ['load'], 'its touch costs nothing')
  assert.deepEqual(await cost('/visit'), ['load', 'update'])
  // After a regenerate express-session saves at the end of the request too (expressjs/session#935).
  assert.deepEqual(await cost('/login/alice'), ['load', 'clear', 'createUnderGivenId', 'update'])
  assert.deepEqual(await cost('/logout'), ['load', 'clear'])
})

test('a session lives from request to request, and a login gives it a new ID', async () => {
  const { store, browser } = await serve(routes)
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

test('log out everywhere', async () => {
  const { store, browser } = await serve(routes)
  const [laptop, phone] = [browser(), browser()]
  await laptop.get('/login/bob')
  await phone.get('/login/bob')
  await store.logOutEverywhere('bob')
  for (const each of [laptop, phone]) assert.deepEqual(JSON.parse((await each.get('/')).text), {})
})

test('a set after a destroy never brings a session back', async () => {
  let meanwhile
  const slow = async (request, response) => {
    request.session.visits = -1
    await meanwhile(request)
    response.send('slow')
  }
  const { store, browser, errors } = await serve({ ...routes, '/slow': slow })
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
    await visitor.get('/slow').catch(() => {}) // the response is cut when the save has failed
    assert.equal((await failure(errors)).code, 'NOT_FOUND')
    assert.equal(await store.sessions.load(visitor.id), undefined)
  }
  // A session that was made in this request is created once: destroyed meanwhile, it stays dead.
  const visitor = browser()
  meanwhile = async (request) => {
    await new Promise((resolve) => request.session.save(resolve))
    await store.sessions.clear(request.sessionID)
    request.session.visits = -2
  }
  await visitor.get('/slow').catch(() => {})
  assert.equal((await failure(errors)).code, 'NOT_FOUND')
})

test('set and touch of an ID that was never issued make no session', async () => {
  const store = expressStore(session, { sessions: table.manager() })
  const id = 'B'.repeat(31) + 'A'
  const before = await table.records()
  const data = { cookie: { originalMaxAge: null }, n: 1 }
  const error = await new Promise((resolve) => store.set(id, data, resolve))
  assert.equal(error.code, 'NOT_FOUND')
  await new Promise((resolve) => store.touch(id, data, resolve))
  assert.equal(await new Promise((resolve) => store.get(id, (error, found) => resolve(error ?? found))), null)
  assert.equal(await table.records(), before)
})

test('cookie.maxAge is the idle timeout', async () => {
  const age = async (maxAge) => {
    const { browser, store } = await serve(routes, { options: { cookie: { maxAge } } })
    const visitor = browser()
    await visitor.get('/visit')
    return store.sessions.peek(visitor.id)
  }
  assert.equal((await age(600_000)).idleTimeoutSeconds, 600)
  assert.equal((await age(undefined)).idleTimeoutSeconds, 7200)
  assert.equal((await age(365 * 86_400_000)).idleTimeoutSeconds, 43_200, 'at most the absolute timeout')
  const { browser, store } = await serve({
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
  const { browser } = await serve(routes)
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
  const eager = await serve(routes, { options: { saveUninitialized: true } })
  const visitor = eager.browser()
  await visitor.get('/')
  assert.equal(await table.records(), before + 1)
  eager.calls.length = 0
  await visitor.get('/')
  assert.deepEqual(eager.calls, ['load'])

  const resaving = await serve(routes, { options: { resave: true } })
  const again = resaving.browser()
  await again.get('/visit')
  resaving.calls.length = 0
  await again.get('/')
  assert.deepEqual(resaving.calls, ['load', 'update'])

  const rolling = await serve(routes, { options: { rolling: true, cookie: { maxAge: 60_000 } } })
  const roller = rolling.browser()
  await roller.get('/visit')
  assert.ok((await roller.get('/')).set, 'the cookie is renewed')

  const unset = (request, response) => {
    delete request.session
    response.send('done')
  }
  const destroying = await serve({ ...routes, '/unset': unset }, { options: { unset: 'destroy' } })
  const leaver = destroying.browser()
  await leaver.get('/visit')
  await leaver.get('/unset')
  assert.equal(await destroying.store.sessions.load(leaver.id), undefined)
})

test('reload reads what another request has saved', async () => {
  const reload = async (request, response, next) => {
    await store.sessions.update(request.sessionID, { data: { cookie: {}, visits: 7 } })
    request.session.reload((error) => (error ? next(error) : response.send(String(request.session.visits))))
  }
  const { store, browser } = await serve({ ...routes, '/reload': reload })
  const visitor = browser()
  await visitor.get('/visit')
  assert.equal((await visitor.get('/reload')).text, '7')
})

test('rotated secrets: the first signs, all verify', async () => {
  const old = await serve(routes)
  const visitor = old.browser()
  await visitor.get('/visit')
  const rotated = await serve(routes, { options: { secret: ['a newer secret', SECRET] } })
  assert.deepEqual(JSON.parse((await rotated.browser(visitor.cookie).get('/')).text), { visits: 1 })
  const replaced = await serve(routes, { options: { secret: 'another one' } })
  replaced.calls.length = 0
  assert.deepEqual(JSON.parse((await replaced.browser(visitor.cookie).get('/')).text), {})
  assert.deepEqual(replaced.calls, [], 'a forged cookie costs no request')
})

test('an ID of another form is refused, and a UUID is accepted', async () => {
  const { browser } = await serve(routes, { options: { genid: () => crypto.randomUUID() } })
  const visitor = browser()
  await visitor.get('/visit')
  assert.deepEqual(JSON.parse((await visitor.get('/')).text), { visits: 1 })
  const bad = await serve(routes, { options: { genid: () => 'x!' } })
  await bad.browser().get('/visit').catch(() => {})
  assert.match((await failure(bad.errors)).message, /16 to 128 bytes in base64url/)
})

test('the subject changes only with the ID', async () => {
  const become = (request, response) => {
    request.session.user = 'root'
    response.send('done')
  }
  const { store, browser, errors } = await serve({ ...routes, '/become': become })
  const visitor = browser()
  await visitor.get('/login/erin')
  await visitor.get('/become').catch(() => {})
  assert.match((await failure(errors)).message, /call regenerate before/)
  assert.equal((await store.sessions.peek(visitor.id)).subject, 'erin')
})

test('an outage is no logout', async () => {
  const { browser, errors } = await serve(routes, { settings: { endpointUrl: 'http://127.0.0.1:9' } })
  const visitor = browser(`connect.sid=s%3A${'A'.repeat(32)}.x`)
  visitor.cookie = await (async () => {
    const working = await serve(routes)
    const other = working.browser()
    await other.get('/visit')
    return other.cookie
  })()
  const response = await visitor.get('/')
  assert.deepEqual([response.status, response.set], [503, undefined])
  assert.equal((await failure(errors)).code, 'UNAVAILABLE')
})

test('eight callers at once', async () => {
  const { browser } = await serve(routes)
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
