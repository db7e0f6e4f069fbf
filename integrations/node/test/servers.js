'use strict'
// Applications in Fastify and Koa, and a browser for them.

const { once } = require('node:events')
const { expressStore } = require('dynamodb-web-session')
const { startProxy, startTable } = require('./table.js')

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'

/** A store for a middleware, on a table of its own behind a proxy. */
async function startStore(middleware, settings) {
  const table = await startTable()
  const proxy = await startProxy(table.url)
  const sessions = table.manager({ endpointUrl: proxy.url, ...settings })
  return { sessions, table, clock: table.clock, proxy, store: expressStore(middleware, { sessions, subject: (data) => data.user }) }
}

/** A browser that keeps the cookies of what `send` returns: a status, a text and the `set-cookie` headers. */
function browser(send, other) {
  const cookies = new Map(other?.cookies)
  const visit = async (method, path) => {
    const cookie = [...cookies].map((pair) => pair.join('=')).join('; ')
    const { status, text, set } = await send(method, path, cookie)
    visit.set = set
    for (const line of set) {
      const [, name, value] = line.match(/^([^=]+)=([^;]*)/)
      if (/expires=Thu, 01 Jan 1970/i.test(line)) cookies.delete(name)
      else cookies.set(name, value)
    }
    return [status, text]
  }
  return Object.assign(visit, { cookies })
}

/** `plugin` is @fastify/session, or the store's own. Returns what makes a browser, with the cookies of another one. */
function serveFastify(t, plugin, options) {
  const app = require('fastify')()
  t.after(() => app.close())
  app.register(require('@fastify/cookie'))
  app.register(plugin, { secret: 's'.repeat(32), cookie: { secure: false }, ...options })
  const visit = (other) =>
    browser(async (method, url, cookie) => {
      const response = await app.inject({ method, url, headers: { cookie, 'user-agent': FIREFOX } })
      return { status: response.statusCode, text: response.body, set: [response.headers['set-cookie'] ?? []].flat() }
    }, other)
  return { app, visit }
}

async function serveKoa(t, store, handle, options) {
  const Koa = require('koa')
  const koaSession = require('koa-session')
  const app = new Koa()
  app.keys = ['secret']
  app.silent = true
  app.use((koaSession.default ?? koaSession.createSession ?? koaSession)({ store, ...options }, app))
  app.use(handle)
  const server = app.listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  return (other) =>
    browser(async (method, path, cookie) => {
      const response = await fetch(`http://127.0.0.1:${server.address().port}${path}`, { method, headers: { cookie, 'user-agent': FIREFOX } })
      return { status: response.status, text: await response.text(), set: response.headers.getSetCookie() }
    }, other)
}

module.exports = { serveFastify, serveKoa, startStore }
