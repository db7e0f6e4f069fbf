'use strict'
const assert = require('node:assert/strict')
const { once } = require('node:events')
const { before, test } = require('node:test')
const express = require('express')
const session = require('express-session')
const { SessionManager, expressStore, logIn, renew } = require('dynamodb-web-session')
const { startProxy, startTable } = require('./table.js')
const atOnce = require('../../../tests/cases/requests_at_once.json')

let table
before(async () => {
  table = await startTable()
})

const SECRET = 'a secret of at least 32 characters!!'

/** An application on a free port, with what its routes do. */
async function serve(routes, { options = {}, settings = {}, subject = (data) => data.user } = {}) {
  const proxy = await startProxy(table.url)
  const store = expressStore(session, { sessions: table.manager({ endpointUrl: proxy.url, ...settings }), subject })
  const app = express().set('env', 'test') // Express does not print errors then
  const errors = []
  app.use(session({ store, secret: SECRET, resave: false, saveUninitialized: false, ...options }))
  for (const [path, route] of Object.entries(routes)) app.all(path, route)
  app.use((error, request, response, next) => {
    errors.push(error)
    next(error)
  })
  const server = app.listen(0, '127.0.0.1').unref()
  await once(server, 'listening')
  const url = `http://127.0.0.1:${server.address().port}`
  return { url, store, proxy, errors, browser: (cookie) => new Browser(url, cookie) }
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

/** What the same browser does during a request. */
let act
async function meanwhile() {
  const now = act
  act = undefined
  await now?.()
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
  '/same': (request, response) => {
    request.session.visits = Number(request.session.visits)
    response.send('the same')
  },
  '/log-in/:user': async (request, response) => {
    await logIn(request, request.params.user, { user: request.params.user })
    response.send('in')
  },
  '/set/:key/:value': async (request, response) => {
    request.session[request.params.key] = request.params.value
    await meanwhile()
    response.send('set')
  },
  '/pop/:key': async (request, response) => {
    delete request.session[request.params.key]
    await meanwhile()
    response.send('gone')
  },
  '/change': async (request, response) => {
    const { set, remove = [] } = JSON.parse(request.query.changes)
    Object.assign(request.session, set)
    for (const key of remove) delete request.session[key]
    await meanwhile()
    response.send('changed')
  },
  '/all': (request, response) => {
    const { cookie: _, ...data } = request.session
    response.send(JSON.stringify(data))
  },
  '/logout': (request, response, next) => request.session.destroy((error) => (error ? next(error) : response.send('out'))),
}

test('what a request costs', async () => {
  const { proxy, browser } = await serve(routes)
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

test('a renewal gives a new ID, with what the request has changed', async () => {
  const { browser, store } = await serve({
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
  const { store, browser } = await serve({ ...routes, '/slow': slow })
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

test('cookie.maxAge is the idle timeout', async () => {
  const age = async (maxAge) => {
    const { browser, store } = await serve(routes, { options: { cookie: { maxAge } } })
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
  eager.proxy.operations.length = 0
  await visitor.get('/')
  assert.deepEqual(eager.proxy.operations, ['GetItem'])

  const resaving = await serve(routes, { options: { resave: true } })
  const again = resaving.browser()
  await again.get('/visit')
  resaving.proxy.operations.length = 0
  await again.get('/')
  assert.deepEqual(resaving.proxy.operations, ['GetItem'], 'what did not change is not written')

  const rolling = await serve(routes, { options: { rolling: true, cookie: { maxAge: 60_000 } } })
  const roller = rolling.browser()
  await roller.get('/visit')
  table.clock.advance(10)
  assert.ok((await roller.get('/')).set, 'the cookie is renewed with the session')

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
  replaced.proxy.operations.length = 0
  assert.deepEqual(JSON.parse((await replaced.browser(visitor.cookie).get('/')).text), {})
  assert.deepEqual(replaced.proxy.operations, [], 'a forged cookie costs no request')
})

test('an ID of another form is refused, and a UUID is accepted', async () => {
  const { browser } = await serve(routes, { options: { genid: () => crypto.randomUUID() } })
  const visitor = browser()
  await visitor.get('/visit')
  assert.deepEqual(JSON.parse((await visitor.get('/')).text), { visits: 1 })
  const bad = await serve(routes, { options: { genid: () => 'x!' } })
  const answered = await bad.browser().get('/visit')
  assert.deepEqual([answered.status, answered.set], [500, undefined])
})

test('the data of a session may name another user, or none', async () => {
  const become = (request, response) => {
    request.session.user = { root: 'root', seven: 7, nobody: null }[request.params.who]
    response.send('done')
  }
  const { store, browser } = await serve({ ...routes, '/become/:who': become })
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

test('the cases of requests at once', async () => {
  const { browser } = await serve(routes)
  const change = (changes) => `/change?${new URLSearchParams({ changes: JSON.stringify(changes) })}`
  for (const { rule, stored, meanwhile, request, left } of atOnce) {
    const visitor = browser()
    await visitor.get(change({ set: stored }))
    act = () => browser(visitor.cookie).get(change(meanwhile))
    await visitor.get(change(request))
    assert.deepEqual(JSON.parse((await visitor.get('/all')).text), left, rule)
  }
})

test('requests at once do not lose each other’s changes', async () => {
  const { browser } = await serve(routes)
  const visitor = browser()
  await visitor.get('/set/x/0')
  act = () => browser(visitor.cookie).get('/set/b/2')
  await visitor.get('/set/a/1')
  act = () => browser(visitor.cookie).get('/set/c/3')
  await visitor.get('/pop/x')
  assert.deepEqual(JSON.parse((await visitor.get('/all')).text), { a: '1', b: '2', c: '3' })
})

for (const options of [{}, { rolling: true, cookie: { maxAge: 3_600_000 } }, { resave: true, saveUninitialized: true }]) {
  test(`a slow and a late request leave the cookie of a login, ${JSON.stringify(options)}`, async () => {
    const { browser } = await serve(routes, { options })
    const visitor = browser()
    await visitor.get('/set/x/0')
    const old = visitor.cookie
    for (const [path, status] of [['/pop/nothing', 200], ['/set/x/0', 200], ['/set/y/1', 400]]) {
      let login
      act = async () => {
        const other = browser(visitor.cookie)
        await other.get('/log-in/alice')
        login = other.cookie
      }
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

test('a refused login leaves the user out', async () => {
  const unsaved = (request, response, next) => {
    request.session.regenerate((error) => {
      if (error) return next(error)
      request.session.user = request.params.user
      response.send('in')
    })
  }
  const { browser } = await serve(
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

test('a double click on "log in" leaves the user logged in', async () => {
  const { browser } = await serve({
    ...routes,
    '/click': async (request, response) => {
      await meanwhile()
      await logIn(request, 'alice', { user: 'alice' })
      response.send('in')
    },
  })
  const visitor = browser()
  await visitor.get('/set/cart/apple')
  act = () => browser(visitor.cookie).get('/log-in/alice')
  await visitor.get('/click')
  assert.equal(JSON.parse((await visitor.get('/all')).text).user, 'alice')
})

test('an outage while a session is stored is 503, without a cookie', async () => {
  const { browser, proxy } = await serve(routes)
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

test('a streamed response waits for its session', async () => {
  const stream = (request, response) => {
    request.session.visits = 5
    for (const part of ['a', 'b', 'c']) response.write(part)
    response.end('d')
  }
  const { browser, store } = await serve({ ...routes, '/stream': stream })
  const visitor = browser()
  assert.equal((await visitor.get('/stream')).text, 'abcd')
  assert.equal((await store.sessions.peek(visitor.id)).data.visits, 5)
})

test('two middlewares with one store', async () => {
  const { store } = await serve(routes)
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

test('a longer maxAge, a shorter one and none are stored without other changes', async () => {
  const age = (request, response) => {
    request.session.cookie.maxAge = request.params.age === 'none' ? null : Number(request.params.age)
    response.send('set')
  }
  const { browser, store } = await serve({ ...routes, '/age/:age': age })
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
