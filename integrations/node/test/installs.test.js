'use strict'
// The package as it is published, under each package manager, in each Node.js that is maintained, under jest and vitest, and in Bun
// and Deno.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { before, test } = require('node:test')
const { application, npmInstall, options, run, start } = require('./installed.js')

const MANAGERS = { pnpm: 'pnpm@12.21.0', yarn: '@yarnpkg/cli-dist@4.18.1' }
const PROGRAM = `
const { SessionManager, serveEmbeddedDynamoDb } = require('dynamodb-web-session')
async function main() {
  const sessions = new SessionManager({ endpointUrl: await serveEmbeddedDynamoDb() })
  const { id } = await sessions.create({ n: 1 }, { subject: 'alice' })
  console.log((await sessions.load(id)).subject, (await sessions.sessionsOf('alice')).length)
}
main()
`
const program = { 'program.cjs': PROGRAM }

before(start)

test('npm ci --omit=dev', options, async () => {
  const folder = application({ files: program, devDependencies: { 'is-odd': '3.0.1' } })
  await run(folder, 'npm', 'install', '--package-lock-only', '--no-audit')
  await run(folder, 'npm', 'ci', '--omit=dev', '--no-audit', '--no-fund', '--prefer-online')
  assert.equal(await run(folder, 'node', 'program.cjs'), 'alice 1\n')
  assert.deepEqual(fs.readdirSync(path.join(folder, 'node_modules')).filter((name) => !name.startsWith('.')).length, 2)
})

test('pnpm', options, async () => {
  const folder = application({ files: program })
  await run(folder, 'npx', '--yes', MANAGERS.pnpm, 'install', '--store-dir', 'store')
  assert.equal(await run(folder, 'node', 'program.cjs'), 'alice 1\n')
})

test("yarn with plug'n'play", options, async () => {
  const folder = application({ files: { ...program, 'yarn.lock': '' } })
  await run(folder, 'npx', '--yes', MANAGERS.yarn, 'install')
  assert.ok(fs.existsSync(path.join(folder, '.pnp.cjs')) && !fs.existsSync(path.join(folder, 'node_modules')))
  assert.equal(await run(folder, 'npx', '--yes', MANAGERS.yarn, 'node', 'program.cjs'), 'alice 1\n')
})

for (const version of ['22', '24', '26']) {
  test(`Node.js ${version}`, options, async () => {
    const folder = application({ files: program })
    await npmInstall(folder, `node@${version}`)
    const node = 'node' // that of the folder
    assert.match(await run(folder, node, '--version'), new RegExp(`^v${version}\\.`))
    assert.equal(await run(folder, node, 'program.cjs'), 'alice 1\n')
    const own = ['verbs', 'express', 'loads'].map((name) => path.join(__dirname, `${name}.test.js`))
    const said = await run(folder, node, '--test', '--test-reporter=tap', '--test-timeout=60000', ...own)
    assert.match(said, /# pass [1-9]\d+\n# fail 0/)
  })
}

const TESTS = `
const { SessionManager, serveEmbeddedDynamoDb } = require('dynamodb-web-session')

for (const n of [1, 2]) {
  test('a session ' + n, async () => {
    process.env.SESSION_IDLE_TIMEOUT_SECONDS = String(n * 100)
    const sessions = new SessionManager({ endpointUrl: await serveEmbeddedDynamoDb() })
    const session = await sessions.create({ n }, { subject: 'alice' })
    expect(session.idleTimeoutSeconds).toBe(n * 100)
    expect((await sessions.load(session.id)).data).toEqual({ n })
    await expect(sessions.create({ n: 1n })).rejects.toThrow(/n/)
  })
}
`

test('jest, with its registry of modules reset, and no open handles', options, async () => {
  const folder = application({ files: { 'one.test.js': TESTS, 'two.test.js': TESTS } })
  await npmInstall(folder, 'jest@30.5.2')
  const said = await run(folder, 'npx', 'jest', '--resetModules', '--detectOpenHandles')
  assert.match(said, /Tests: +4 passed/)
  assert.doesNotMatch(said, /open handle|did not exit/)
})

test('vitest, in threads and in processes', options, async () => {
  const folder = application({ files: { 'one.test.js': TESTS, 'two.test.js': TESTS } })
  await npmInstall(folder, 'vitest@5.1.2')
  for (const pool of ['threads', 'forks']) {
    assert.match(await run(folder, 'npx', 'vitest', 'run', '--globals', `--pool=${pool}`), /Tests +4 passed/)
  }
})

for (const [runtime, command] of [
  ['bun@1.4.5', ['bun', 'run']],
  ['deno@2.9.6', ['deno', 'run', '--allow-all']],
]) {
  test(runtime, options, async () => {
    const folder = application({ files: program })
    await npmInstall(folder, runtime)
    assert.equal(await run(folder, ...command, 'program.cjs'), 'alice 1\n')
  })
}
