'use strict'
// The package as it is published, under each package manager, in each Node.js that is maintained, under jest and vitest, and in Bun
// and Deno. PACKAGES is a folder with what pack.js makes; without it these tests are skipped, because they need the registry of npm.

const assert = require('node:assert')
const { execFile } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { before, test } = require('node:test')
const { promisify } = require('node:util')
const { startRegistry } = require('./registry.js')

const packages = process.env.PACKAGES
const options = { skip: packages === undefined && 'PACKAGES is not set', timeout: 300_000 }

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

let registry
before(async () => {
  if (packages) registry = await startRegistry(path.resolve(packages))
})

/** A folder of an application that depends on the package. */
function application({ files = {}, ...described } = {}) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'installed-'))
  const manifest = { name: 'application', version: '1.0.0', dependencies: { 'dynamodb-web-session': '0.1.0' }, ...described }
  const all = { 'package.json': JSON.stringify(manifest), 'program.cjs': PROGRAM, '.npmrc': `registry=${registry}\n`, ...files }
  for (const [name, text] of Object.entries(all)) fs.writeFileSync(path.join(folder, name), text)
  return folder
}

async function run(cwd, program, ...args) {
  const { CI: _, NODE_TEST_CONTEXT: __, FORCE_COLOR: ___, ...inherited } = process.env // with CI only what a lock file has is installed
  const env = {
    ...inherited,
    NO_COLOR: '1',
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    AWS_REGION: 'us-east-1',
    npm_config_registry: registry,
    YARN_NPM_REGISTRY_SERVER: registry,
    YARN_NPM_MINIMAL_AGE_GATE: '0',
    YARN_UNSAFE_HTTP_WHITELIST: '127.0.0.1',
    YARN_ENABLE_TELEMETRY: '0',
    // Not the caches of the user: the same version has other files after the next build.
    YARN_GLOBAL_FOLDER: path.join(cwd, 'store'),
    BUN_INSTALL_CACHE_DIR: path.join(cwd, 'store'),
    DENO_DIR: path.join(cwd, 'store'),
    DENO_NO_UPDATE_CHECK: '1',
  }
  const { stdout, stderr } = await promisify(execFile)(program, args, { cwd, env }).catch((error) => {
    throw new Error(`${program} ${args.join(' ')}: ${error.message}\n${error.stdout}`)
  })
  return stdout + (program === 'npx' ? stderr : '')
}

test('npm ci --omit=dev', options, async () => {
  const folder = application({ devDependencies: { 'is-odd': '3.0.1' } })
  await run(folder, 'npm', 'install', '--package-lock-only', '--no-audit')
  await run(folder, 'npm', 'ci', '--omit=dev', '--no-audit', '--no-fund', '--prefer-online')
  assert.equal(await run(folder, 'node', 'program.cjs'), 'alice 1\n')
  assert.deepEqual(fs.readdirSync(path.join(folder, 'node_modules')).filter((name) => !name.startsWith('.')).length, 2)
})

test('pnpm', options, async () => {
  const folder = application()
  await run(folder, 'npx', '--yes', MANAGERS.pnpm, 'install', '--store-dir', 'store')
  assert.equal(await run(folder, 'node', 'program.cjs'), 'alice 1\n')
})

test("yarn with plug'n'play", options, async () => {
  const folder = application({ files: { 'yarn.lock': '' } })
  await run(folder, 'npx', '--yes', MANAGERS.yarn, 'install')
  assert.ok(fs.existsSync(path.join(folder, '.pnp.cjs')) && !fs.existsSync(path.join(folder, 'node_modules')))
  assert.equal(await run(folder, 'npx', '--yes', MANAGERS.yarn, 'node', 'program.cjs'), 'alice 1\n')
})

for (const version of ['22', '24', '26']) {
  test(`Node.js ${version}`, options, async () => {
    const folder = application()
    await run(folder, 'npm', 'install', '--no-audit', '--no-fund', '--prefer-online', `node@${version}`)
    const node = path.join(folder, 'node_modules/node/bin/node')
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
  await run(folder, 'npm', 'install', '--no-audit', '--no-fund', '--prefer-online', 'jest@30.5.2')
  const said = await run(folder, 'npx', 'jest', '--resetModules', '--detectOpenHandles')
  assert.match(said, /Tests: +4 passed/)
  assert.doesNotMatch(said, /open handle|did not exit/)
})

test('vitest, in threads and in processes', options, async () => {
  const folder = application({ files: { 'one.test.js': TESTS, 'two.test.js': TESTS } })
  await run(folder, 'npm', 'install', '--no-audit', '--no-fund', '--prefer-online', 'vitest@5.1.2')
  for (const pool of ['threads', 'forks']) {
    assert.match(await run(folder, 'npx', 'vitest', 'run', '--globals', `--pool=${pool}`), /Tests +4 passed/)
  }
})

for (const [runtime, command] of [
  ['bun@1.4.5', ['node_modules/.bin/bun', 'run']],
  ['deno@2.9.6', ['node_modules/.bin/deno', 'run', '--allow-all']],
]) {
  test(runtime, options, async () => {
    const folder = application()
    await run(folder, 'npm', 'install', '--no-audit', '--no-fund', '--prefer-online', runtime)
    const [program, ...args] = command
    assert.equal(await run(folder, path.join(folder, program), ...args, 'program.cjs'), 'alice 1\n')
  })
}
