'use strict'
// The examples for frameworks, installed, built and served as their own pages say.

const assert = require('node:assert')
const net = require('node:net')
const { once } = require('node:events')
const { before, test } = require('node:test')
const { example, npmInstall, options, run, serve, start } = require('./installed.js')
const { startTable } = require('./table.js')

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'

let table
before(async () => {
  await start()
  table = await startTable()
})

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  return port
}

/** A browser that sends forms, and follows to the page. */
class Browser {
  cookies = new Map()

  constructor(url) {
    this.url = url
  }

  async send(path, form) {
    const cookie = [...this.cookies].map((pair) => pair.join('=')).join('; ')
    const headers = { cookie, origin: this.url, 'x-forwarded-proto': 'http', 'user-agent': FIREFOX }
    const response = await fetch(this.url + path, { method: form ? 'POST' : 'GET', body: form && new URLSearchParams(form), headers, redirect: 'manual' })
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = line.match(/^([^=]+)=([^;]*)/)
      if (/Max-Age=0|1970/.test(line)) this.cookies.delete(name)
      else this.cookies.set(name, value)
    }
    return { status: response.status, text: await response.text() }
  }

  /** Sends a form, and says what the page says then. */
  async says(path, form) {
    if (form) assert.equal((await this.send(path, form)).status, 303, path)
    const { text } = await this.send('/')
    return /user: (\w+), visits: (\d+)/.exec(text)?.slice(1) ?? text
  }
}

async function drive(url) {
  const [laptop, phone] = [new Browser(url), new Browser(url)]
  assert.deepEqual(await laptop.says('/'), ['nobody', '0'])
  assert.deepEqual(await laptop.says('/visit', {}), ['nobody', '1'])
  const before = new Map(laptop.cookies)
  assert.deepEqual(await laptop.says('/login', { user: 'alice' }), ['alice', '1'])
  assert.notDeepEqual(laptop.cookies, before, 'a login gives another ID')
  assert.deepEqual(await phone.says('/login', { user: 'alice' }), ['alice', '0'])
  const devices = await table.manager().sessionsOf('alice')
  assert.deepEqual(devices.map(({ label }) => label), ['Firefox on Linux', 'Firefox on Linux'])
  const third = new Browser(url)
  assert.equal((await third.send('/login', { user: 'alice' })).status, 409, 'two sessions are allowed')
  assert.deepEqual(await third.says('/'), ['nobody', '0'])
  assert.deepEqual(await laptop.says('/visit', {}), ['alice', '2'])
  assert.deepEqual(await laptop.says('/logout', {}), ['nobody', '0'])
  assert.deepEqual(await phone.says('/visit', {}), ['alice', '1'])
  await table.manager().revokeAll('alice')
  assert.deepEqual(await phone.says('/'), ['nobody', '0'])
}

async function served(folder, command) {
  const port = await freePort()
  const limits = { SESSION_MAX_PER_SUBJECT: '2', SESSION_AT_MAX_PER_SUBJECT: 'refuse' }
  // SvelteKit's server listens on all addresses, and takes requests for https, if it is not told otherwise.
  const variables = { PORT: String(port), HOST: '127.0.0.1', PROTOCOL_HEADER: 'x-forwarded-proto' }
  const server = await serve(folder, { ...table.environment, ...limits, ...variables }, ...command)
  try {
    await drive(server.url)
  } finally {
    server.stop()
  }
}

test('NestJS, on Express and on Fastify', options, async () => {
  const folder = example('nestjs')
  await npmInstall(folder)
  await run(folder, 'npm', 'run', 'build')
  await served(folder, ['npm', 'start'])
  await served(folder, ['npm', 'run', 'start:fastify'])
})

test('SvelteKit', options, async () => {
  const folder = example('sveltekit')
  await npmInstall(folder, 'node@24')
  await run(folder, 'npm', 'run', 'build')
  await served(folder, ['npm', 'start'])
})

test('Next.js', options, async () => {
  const folder = example('nextjs')
  await npmInstall(folder)
  await run(folder, 'npm', 'run', 'build')
  await served(folder, ['npm', 'start'])
})
