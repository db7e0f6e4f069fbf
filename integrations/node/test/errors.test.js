'use strict'
const assert = require('node:assert/strict')
const { execFile, spawn } = require('node:child_process')
const { once } = require('node:events')
const net = require('node:net')
const { before, test } = require('node:test')
const { promisify } = require('node:util')
const { Worker } = require('node:worker_threads')
const {
  ConfigurationError,
  CorruptRecordError,
  DataTooLargeError,
  InvalidDataError,
  InvalidTimeoutError,
  RawJson,
  MisconfiguredError,
  SessionError,
  SessionManager,
  UnavailableError,
} = require('dynamodb-web-session')
const { startTable } = require('./table.js')

// Code of a worker looks for packages in the working directory.
const PACKAGE = JSON.stringify(require.resolve('dynamodb-web-session'))

let table, sessions
before(async () => {
  table = await startTable()
  sessions = table.manager()
})

const circle = {}
circle.circle = circle

test('data that is no JSON is refused', async () => {
  const session = await sessions.create({ n: 1 })
  for (const data of [undefined, () => {}, Symbol('s'), 1n, circle, { toJSON: () => { throw new RangeError('no') } }]) {
    if (data !== undefined) await assert.rejects(sessions.create(data), InvalidDataError)
    session.data = data
    await assert.rejects(sessions.save(session), InvalidDataError)
    if (data !== undefined) await assert.rejects(sessions.renew(session, { data }), InvalidDataError)
  }
  for (const text of ['', '{', "{'a': 1}", 'NaN', '1 2', '['.repeat(200_000)]) {
    await assert.rejects(sessions.create(new RawJson(text)), InvalidDataError)
  }
  let deep = []
  for (let n = 0; n < 100; n++) deep = [deep]
  await assert.rejects(sessions.create(deep), InvalidDataError)
  await assert.rejects(table.manager({ maxDataBytes: 100 }).create('x'.repeat(100)), DataTooLargeError)
  assert.deepEqual((await sessions.load(session)).data, { n: 1 })
})

test('a timeout out of range is refused', async () => {
  for (const idleTimeoutSeconds of [0, -1, 1.5, NaN, Infinity, 2_592_001, 2 ** 64]) {
    await assert.rejects(sessions.create({}, { idleTimeoutSeconds }), InvalidTimeoutError)
    const session = await sessions.create()
    session.absoluteTimeoutSeconds = idleTimeoutSeconds
    await assert.rejects(sessions.save(session), InvalidTimeoutError)
  }
})

test('arguments of the wrong type are type errors', async () => {
  for (const id of [undefined, null, 1, {}, ['list'], Buffer.from('x')]) {
    for (const verb of ['load', 'peek', 'renew', 'clear', 'revoke', 'save', 'saveIfUnchanged']) {
      await assert.rejects(sessions[verb](id), TypeError, `${verb} ${typeof id}`)
    }
  }
  for (const nobody of [undefined, null, '']) {
    for (const call of [sessions.sessionsOf(nobody), sessions.revokeAll(nobody), sessions.logIn(undefined, nobody)]) {
      await assert.rejects(call, TypeError)
    }
  }
  for (const options of [{ idleTimeoutSeconds: '1' }, { unknown: 1 }]) {
    await assert.rejects(sessions.create({}, options), TypeError)
  }
  for (const subject of ['x'.repeat(257)]) await assert.rejects(sessions.create({}, { subject }), TypeError)
  await assert.rejects(sessions.revoke('not a loggable ID'), TypeError)
  await assert.rejects(sessions.update(await sessions.create(), { data: 1, ifMatch: 'no tag' }), TypeError)
  assert.throws(() => new SessionManager({ unknown: 1 }), ConfigurationError)
  assert.throws(() => new SessionManager({ idBytes: [1] }), TypeError)
  assert.throws(() => new SessionManager({ clock: {} }))
})

test('a setting that is not accepted is named', () => {
  const refused = (settings, message) =>
    assert.throws(() => new SessionManager(settings), (error) => error instanceof ConfigurationError && message.test(error.message))
  refused({ idBytes: 15 }, /SESSION_ID_BYTES must be a whole number from 16 to 128; it is 15/)
  refused({ seal: 'yes' }, /SESSION_SEAL/)
  refused({ notBefore: new Date('2999-01-01') }, /not in the future/)
  refused({ endpointUrl: 'localhost:8000' }, /endpoint_url must be a URL/)
  process.env.SESSION_ID_BYTES = 'few'
  refused({}, /SESSION_ID_BYTES/)
  delete process.env.SESSION_ID_BYTES
})

test('a table that is not there is refused, and one out of reach is unavailable', async () => {
  await assert.rejects(table.manager({ tableName: 'no-such-table' }).create(), MisconfiguredError)
  await assert.rejects(table.manager({ endpointUrl: 'http://127.0.0.1:9' }).load('A'.repeat(43)), UnavailableError)
})

test('a record that another program wrote is corrupt', async () => {
  const session = await sessions.create()
  await table.client.updateItem({
    TableName: table.name,
    Key: { id: { S: session.loggableId } },
    UpdateExpression: 'REMOVE #data',
    ExpressionAttributeNames: { '#data': 'data' },
  })
  await assert.rejects(sessions.load(session), CorruptRecordError)
})

test('without credentials a call is refused and says so', async () => {
  const { AWS_ACCESS_KEY_ID: _, AWS_SECRET_ACCESS_KEY: __, ...environment } = table.environment
  const program = `new (require('dynamodb-web-session').SessionManager)().create().catch((e) => console.log(e.code, e.message))`
  const env = { ...environment, HOME: '/nonexistent', AWS_EC2_METADATA_DISABLED: 'true' }
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', program], { env, cwd: __dirname })
  assert.match(stdout, /^MISCONFIGURED .*credentials/)
})

test('no error holds an ID or data', async () => {
  const session = await sessions.create({ secret: 'data' })
  await sessions.clear(session)
  const attempts = [
    sessions.save(session),
    sessions.update(session.id, { data: {} }),
    sessions.revoke(session.id),
    table.manager({ endpointUrl: 'http://127.0.0.1:9' }).load(session),
    table.manager({ tableName: 'no-such-table' }).load(session),
  ]
  for (const { reason } of await Promise.allSettled(attempts)) {
    assert.ok(reason instanceof SessionError || reason instanceof TypeError)
    const shown = `${reason} ${reason.stack} ${JSON.stringify(reason)}`
    assert.ok(!shown.includes(session.id) && !shown.includes('secret'), shown)
  }
})

/** A server that accepts connections and never answers. */
async function silent() {
  const server = net.createServer(() => {}).listen(0, '127.0.0.1').unref()
  await once(server, 'listening')
  return `http://127.0.0.1:${server.address().port}`
}

test('the event loop is not blocked', async () => {
  const session = await sessions.create({ n: 1 })
  // A server has room for 128 connections that it has not accepted yet; these stay open.
  for (const connections of [64, 128, 192]) {
    await Promise.all(Array.from({ length: connections }, () => sessions.load(session)))
  }
  let turns = 0
  const ticker = setInterval(() => turns++, 1)
  try {
    const loaded = await Promise.all(Array.from({ length: 200 }, () => sessions.load(session)))
    assert.ok(loaded.every((each) => each.data.n === 1))
  } finally {
    clearInterval(ticker)
  }
  assert.ok(turns > 0)
  const waiting = table.manager({ endpointUrl: await silent() }).load('A'.repeat(43))
  const first = await Promise.race([waiting.catch(() => 'waiting'), sessions.load(session)])
  assert.equal(first.id, session.id)
  await assert.rejects(waiting, UnavailableError)
})

test('worker threads have managers of their own', async () => {
  const session = await sessions.create({ n: 1 })
  const program = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { SessionManager } = require(${PACKAGE})
    const sessions = new SessionManager(workerData.settings)
    Promise.all(Array.from({ length: 20 }, () => sessions.load(workerData.id))).then((loaded) => {
      parentPort.postMessage(loaded.every((each) => each.data.n === 1))
    })`
  const workerData = { id: session.id, settings: { endpointUrl: table.url, tableName: table.name } }
  const workers = Array.from({ length: 8 }, () => new Worker(program, { eval: true, workerData }))
  const messages = await Promise.all(workers.map((worker) => once(worker, 'message')))
  assert.deepEqual(messages, workers.map(() => [true]))
  await Promise.all(workers.map((worker) => worker.terminate()))
  assert.ok(await sessions.load(session))
})

test('a worker that is terminated in a call, and a process that exits in one', async () => {
  const url = await silent()
  const wait = `const { SessionManager } = require(${PACKAGE}); const m = new SessionManager({ endpointUrl: '${url}' });
    for (let n = 0; n < 8; n++) m.load('A'.repeat(43)).catch(() => {});`
  for (let n = 0; n < 5; n++) {
    const worker = new Worker(`${wait} require('node:worker_threads').parentPort.postMessage(1)`, { eval: true })
    await once(worker, 'message')
    await worker.terminate()
  }
  for (const end of ['process.exit(3)', 'setTimeout(() => process.exit(3), 50)', 'process.on("beforeExit", () => process.exit(3))']) {
    const child = spawn(process.execPath, ['-e', `${wait} ${end}`], { cwd: __dirname, stdio: ['ignore', 'inherit', 'pipe'] })
    let errors = ''
    child.stderr.on('data', (data) => (errors += data))
    assert.deepEqual(await once(child, 'exit'), [3, null], errors)
    assert.equal(errors, '')
  }
})
