'use strict'
// An application of Express that the tests call, and browsers.

const { once } = require('node:events')
const express = require('express')
const session = require('express-session')
const { expressStore, logIn } = require('dynamodb-web-session')
const { startProxy } = require('./table.js')

const SECRET = 'a secret of at least 32 characters!!'

/** An application on a free port, with what its routes do. */
async function serve(table, routes, { options = {}, settings = {}, subject = (data) => data.user } = {}) {
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

let act

/** What happens during the next request that waits for it. */
function during(given) {
  act = given
}

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

module.exports = { Browser, SECRET, during, failure, meanwhile, routes, serve }
