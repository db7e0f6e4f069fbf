'use strict'
// `npx dynamodb-web-session`.

const assert = require('node:assert')
const { spawn, spawnSync } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')
const { test } = require('node:test')
const { startTable } = require('./table.js')

const COMMAND = path.join(path.dirname(require.resolve('dynamodb-web-session')), 'command.js')

test('a table is created, checked, and its sessions are listed and ended', async () => {
  const table = await startTable()
  const name = `${table.name}-new`
  const run = (...args) =>
    spawnSync(process.execPath, [COMMAND, ...args, '--table', name], { env: table.environment, encoding: 'utf8' })
  const created = run('create-table')
  assert.equal(created.status, 0, created.stderr)
  assert.match(created.stdout, /is there/)
  const { checks } = JSON.parse(run('check', '--json').stdout)
  const states = Object.fromEntries(checks.map((check) => [check.name, check.state]))
  assert.deepEqual([states.key, states.TTL, states.GetItem], ['ok', 'ok', 'ok'])

  const sessions = table.manager({ tableName: name })
  const session = await sessions.logIn(undefined, 'alice')
  const listed = JSON.parse(run('sessions', '--subject', 'alice', '--json').stdout).sessions
  assert.deepEqual(listed.map((each) => each.loggable_session_id), [session.loggableId])
  assert.equal(run('revoke', '--subject', 'alice').status, 0)
  assert.equal(await sessions.load(session.id), undefined)
  assert.equal(run('revoke').status, 2)
})

for (const signal of ['SIGINT', 'SIGTERM']) {
  test(`local ends at ${signal}`, async () => {
    const local = spawn(process.execPath, [COMMAND, 'local', '--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(local.stdout, 'data')
    local.kill(signal)
    const ended = await Promise.race([once(local, 'exit'), new Promise((resolve) => setTimeout(resolve, 10_000, ['it goes on']).unref())])
    local.kill('SIGKILL')
    assert.deepEqual(ended, [0, null])
  })
}
