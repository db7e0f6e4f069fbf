'use strict'
// Reports of calls, on `diagnostics_channel` and in loggers.

const assert = require('node:assert')
const diagnostics = require('node:diagnostics_channel')
const { before, test } = require('node:test')
const { Worker } = require('node:worker_threads')
const { SessionManager } = require('dynamodb-web-session')
const { startProxy, startTable } = require('./table.js')

let table
before(async () => {
  table = await startTable()
})

/** The reports of what `act` calls. */
async function reportsOf(act) {
  const reports = []
  const take = (report) => reports.push(report)
  diagnostics.subscribe('dynamodb-web-session', take)
  try {
    await act()
  } finally {
    diagnostics.unsubscribe('dynamodb-web-session', take)
  }
  return reports
}

test('each call has one report, which names its session by its loggable ID', async () => {
  const sessions = table.manager()
  let id
  const reports = await reportsOf(async () => {
    const session = await sessions.create({ secret: 'data' })
    id = session.id
    const user = await sessions.logIn(session, 'alice')
    await sessions.load(user.id)
    await sessions.load(id)
    await sessions.clear(user)
  })
  assert.deepStrictEqual(
    reports.map(({ event, outcome }) => [event, outcome]),
    [['created', 'ok'], ['logged-in', 'ok'], ['loaded', 'ok'], ['refused', reports[3].outcome], ['cleared', 'ok']],
  )
  assert.strictEqual(reports[0].loggableSessionId, reports[1].loggableSessionId)
  assert.strictEqual(reports[1].newLoggableSessionId, reports[2].loggableSessionId)
  assert.strictEqual(reports[0].requests, 1)
  assert.ok(reports.every((report) => !/secret|alice/.test(JSON.stringify(report)) && !JSON.stringify(report).includes(id)))
  await sessions.create({})
  assert.strictEqual(reports.length, 5, 'nobody listens any more')
})

test('an outage is a warning with its causes, a login an info, and a load is for debugging', async () => {
  const proxy = await startProxy(table.url)
  const lines = []
  const logger = Object.fromEntries(['debug', 'info', 'warn'].map((level) => [level, (...line) => lines.push([level, ...line])]))
  const sessions = table.manager({ logger, endpointUrl: proxy.url })
  const session = await sessions.logIn(null, 'bob')
  await sessions.load(session.id)
  proxy.isOutage = true
  await assert.rejects(sessions.load(session.id), { code: 'UNAVAILABLE' })
  assert.deepStrictEqual(lines.map(([level, text]) => [level, text]), [
    ['info', 'session created'], // by the login
    ['debug', 'session loaded'],
    ['warn', 'session failed'],
  ])
  assert.match(lines[2][2].error, /InternalServerError/)
})

test('pino gets the object first; an error of a logger does not make a call fail', async () => {
  const lines = []
  const pino = { fatal() {}, debug() {}, warn() {}, info: (...line) => lines.push(line) }
  const failing = { debug() {}, warn() {}, info: () => { throw new Error('the disk is full') } }
  const warned = new Promise((resolve) => process.once('warning', resolve))
  table.manager({ logger: failing })
  await table.manager({ logger: pino }).create({})
  assert.deepStrictEqual([lines[0][0].event, lines[0][1]], ['created', 'session created'])
  assert.match((await warned).message, /disk is full/)
  assert.throws(() => new SessionManager({ logger: {} }), /needs the method debug/)
})

test('a worker that stops listening does not stop the reports of others', async () => {
  const code = `
    const diagnostics = require('node:diagnostics_channel')
    const { SessionManager } = require(${JSON.stringify(require.resolve('dynamodb-web-session'))})
    const take = () => {}
    async function main() {
      diagnostics.subscribe('dynamodb-web-session', take)
      await new SessionManager().create({})
      diagnostics.unsubscribe('dynamodb-web-session', take)
      await new SessionManager().create({})
    }
    main()`
  const sessions = table.manager()
  const reports = await reportsOf(async () => {
    await sessions.create({})
    const worker = new Worker(code, { eval: true, env: table.environment })
    assert.strictEqual(await new Promise((resolve) => worker.on('exit', resolve)), 0)
    await sessions.clear(await sessions.create({}))
  })
  assert.strictEqual(reports.at(-1).event, 'cleared')
})
