'use strict'
// The response of Express waits until the session is stored. For the application it is sent meanwhile.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const http = require('node:http')
const net = require('node:net')
const { before, test } = require('node:test')
const compression = require('compression')
const session = require('express-session')
const { expressStore, logIn } = require('dynamodb-web-session')
const { during, routes, serve } = require('./application.js')
const { startTable } = require('./table.js')

let table
before(async () => {
  table = await startTable()
})

test('a response that was sent stays as it is', async () => {
  const changed = (act) => (request, response, next) => {
    request.session.n = Math.random()
    return act(request, response, next)
  }
  const afterwards = {
    throw: () => {
      throw new Error('after the response')
    },
    'throw-later': async () => {
      await null
      throw new Error('after the response')
    },
    next: (request, response, next) => next(),
    'send-again': (request, response) => response.status(404).send('a longer text than the first'),
    'head-again': (request, response) => response.writeHead(500),
    'an-error-page': (request, response) => response.headersSent || response.status(500).send('a longer text than the first'),
    'end-again': (request, response) => response.end('more'),
    write: (request, response) => response.write('more'),
    status: (request, response) => void response.status(500),
  }
  const all = Object.entries(afterwards).flatMap(([name, act]) => {
    const route = (request, response, next) => {
      response.send('ok')
      assert.ok(response.headersSent && response.writableEnded)
      return act(request, response, next)
    }
    return [[`/${name}`, route], [`/changed-${name}`, changed(route)]]
  })
  const { browser, url } = await serve(table, Object.fromEntries(all))
  for (const [path] of all) {
    const visitor = browser()
    const answered = await visitor.get(path)
    assert.deepEqual([answered.status, answered.text], [200, 'ok'], path)
    assert.equal(answered.set !== undefined, path.startsWith('/changed'), path)
    const posted = await fetch(url + path, { method: 'POST', body: 'x'.repeat(1000) })
    assert.deepEqual([posted.status, await posted.text()], [200, 'ok'], path)
  }
})

const early = {
  writeHead: (request, response, next) => {
    response.writeHead(200, { 'content-type': 'text/plain' })
    next()
  },
  flushHeaders: (request, response, next) => {
    response.flushHeaders()
    next()
  },
  compression: compression({ threshold: 0 }),
}

for (const [name, begin] of Object.entries(early)) {
  test(`a head that is sent early, by ${name}, waits too`, async () => {
    const through = (route) => (request, response) => begin(request, response, () => route(request, response))
    const set = (request, response) => {
      request.session.n = Math.random()
      through(() => response.end('x'.repeat(10_000)))(request, response)
    }
    const read = through((request, response) => response.end(String(request.session.user)))
    const { browser, proxy } = await serve(table, { ...routes, '/early': set, '/read': read })
    const tab = browser()
    const { set: cookie, text } = await tab.get('/early')
    assert.deepEqual([cookie !== undefined, text.length], [true, 10_000])
    const late = browser(tab.cookie)
    await tab.get('/log-in/ada')
    assert.deepEqual(await late.get('/early'), { status: 400, set: undefined, text: 'The session has ended before the request was completed.' })
    for (let n = 0; n < 4; n++) {
      table.clock.advance(3000)
      assert.equal((await tab.get('/read')).text, 'ada', 'a read is a use of the session')
    }
    proxy.isOutage = true
    const refused = await browser().get('/early')
    assert.deepEqual([refused.status, refused.set], [503, undefined])
  })
}

test('a login stays when the rest of its request cannot be stored', async () => {
  const failing = {
    outage: (request, proxy) => (proxy.isOutage = true),
    size: (request) => (request.session.text = 'x'.repeat(300_000)),
    'no JSON': (request) => (request.session.big = 1n),
  }
  for (const [name, fail] of Object.entries(failing)) {
    const served = await serve(table, {
      ...routes,
      '/in': async (request, response) => {
        await logIn(request, name, { user: name })
        request.session.seen = 1
        fail(request, served.proxy)
        response.send('in')
      },
    })
    const visitor = served.browser()
    await visitor.get('/set/cart/apple')
    const answered = await visitor.get('/in')
    assert.ok([413, 500, 503].includes(answered.status), `${name}: ${answered.status}`)
    served.proxy.isOutage = false
    assert.deepEqual(JSON.parse((await visitor.get('/all')).text), { cart: 'apple', user: name })
  }
})

test('data that is no JSON, and what is no cookie, are 500', async () => {
  const { browser } = await serve(table, {
    '/:key': (request, response) => {
      request.session[request.params.key] = request.params.key === 'big' ? 1n : 'x'
      response.send('set')
    },
  })
  for (const path of ['/big', '/cookie', '/touch']) {
    const answered = await browser().get(path)
    assert.deepEqual([answered.status, answered.set], [500, undefined], path)
  }
})

test('the callbacks of a refused response are called', async () => {
  let called = 0
  const served = await serve(table, {
    '/': (request, response) => {
      request.session.n = 1
      served.proxy.isOutage = true
      response.write('a', () => called++)
      response.end('b', () => called++)
    },
  })
  assert.equal((await served.browser().get('/')).status, 503)
  assert.equal(called, 2)
})

test('a way out is never refused', async () => {
  const { browser, store } = await serve(table, routes)
  const ways = {
    'a logout while the session is renewed': async (tab) => {
      during(() => browser(tab.cookie).get('/log-in/bob'))
      return tab.get('/pop/user')
    },
    'a second logout': async (tab) => {
      during(() => browser(tab.cookie).get('/logout'))
      return tab.get('/pop/user')
    },
    'log out everywhere, and the user is removed': async (tab) => {
      during(() => store.logOutEverywhere('bob'))
      return tab.get('/pop/user')
    },
    'a logout with an ID from before a login': async (tab) => {
      await browser(tab.cookie).get('/log-in/bob')
      return tab.get('/logout')
    },
  }
  for (const [name, out] of Object.entries(ways)) {
    const tab = browser()
    await tab.get('/log-in/bob')
    const answered = await out(tab)
    assert.deepEqual([answered.status, answered.set], [200, undefined], name)
    assert.deepEqual(await store.sessionsOf('bob'), [], name)
  }
})

test('a logout and a login in one request', async () => {
  const { browser, store } = await serve(table, {
    ...routes,
    '/switch/:user': async (request, response) => {
      await new Promise((resolve) => request.session.destroy(resolve))
      await logIn(request, request.params.user, { user: request.params.user })
      response.send('in')
    },
  })
  const tab = browser()
  await tab.get('/log-in/cleo')
  assert.equal((await tab.get('/switch/dora')).status, 200)
  assert.deepEqual(JSON.parse((await tab.get('/all')).text), { user: 'dora' })
  assert.deepEqual(await store.sessionsOf('cleo'), [])
})

test('a path that is no URL', async () => {
  const { url } = await serve(table, { '/*path': (request, response) => response.send('ok') })
  for (const path of ['//', '//[', '//a:b/']) {
    const socket = net.connect(new URL(url).port, '127.0.0.1')
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    const [data] = await once(socket, 'data')
    assert.match(String(data), /^HTTP\/1.1 200/, path)
  }
})

test('express-session without Express: a request that reads is a use', async (t) => {
  const store = expressStore(session, { sessions: table.manager() })
  const middleware = session({ store, secret: 's', resave: false, saveUninitialized: false })
  const server = http.createServer((request, response) =>
    middleware(request, response, () => {
      if (request.method === 'POST') request.session.user = 'finn'
      response.end(request.session.user ?? 'nobody')
    }),
  )
  server.listen(0, '127.0.0.1').unref()
  t.after(() => server.close())
  await once(server, 'listening')
  const url = `http://127.0.0.1:${server.address().port}`
  const answered = await fetch(url, { method: 'POST' })
  const [set] = answered.headers.getSetCookie()
  assert.equal(await answered.text(), 'finn') // express-session sends the head before it has stored the session, and the end after it
  for (let n = 0; n < 4; n++) {
    table.clock.advance(3000)
    assert.equal(await (await fetch(url, { headers: { cookie: set.split(';')[0] } })).text(), 'finn')
  }
})

test('a key that begins with _ is data as others are', async () => {
  const { browser, proxy } = await serve(table, routes)
  const tab = browser()
  await tab.get('/visit')
  const late = browser(tab.cookie)
  await tab.get('/log-in/gil')
  assert.deepEqual(await late.get('/set/_csrf/x'), { status: 400, set: undefined, text: 'The session has ended before the request was completed.' })
  proxy.isOutage = true
  const answered = await browser().get('/set/_csrf/x')
  assert.deepEqual([answered.status, answered.set], [503, undefined])
})
