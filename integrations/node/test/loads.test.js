'use strict'
// The package under bundlers, as an ES module, in workers, and with a `process.env` of its caller.

const assert = require('node:assert')
const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { Worker } = require('node:worker_threads')
const { before, test } = require('node:test')
const esbuild = require('esbuild')
const webpack = require('webpack')
const { startTable } = require('./table.js')

const PACKAGE = 'dynamodb-web-session'

let table
before(async () => {
  table = await startTable()
})

const program = (format) => `${
  format === 'esm' ? `import { SessionManager, NotFoundError } from '${PACKAGE}'` : `const { SessionManager, NotFoundError } = require('${PACKAGE}')`
}
new SessionManager().create({}, { subject: 'alice' }).then((session) => console.log(typeof NotFoundError, session.subject))
`

/** Runs a file in a folder in which the package is installed, and nothing else. */
function folder() {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'bundle-'))
  process.on('exit', () => fs.rmSync(made, { recursive: true, force: true }))
  fs.mkdirSync(path.join(made, 'node_modules'))
  fs.symlinkSync(path.dirname(require.resolve(`${PACKAGE}/package.json`)), path.join(made, 'node_modules', PACKAGE))
  return made
}

function run(file) {
  return execFileSync(process.execPath, [file], { env: table.environment, encoding: 'utf8', timeout: 30_000 })
}

for (const format of ['cjs', 'esm']) {
  const extension = { cjs: 'cjs', esm: 'mjs' }[format]

  test(`without a bundler: ${format}`, () => {
    const file = path.join(folder(), `program.${extension}`)
    fs.writeFileSync(file, program(format))
    assert.strictEqual(run(file), 'function alice\n')
  })

  test(`esbuild, the package left out, as NodejsFunction does with nodeModules: ${format}`, async () => {
    const made = folder()
    fs.writeFileSync(path.join(made, 'source.mjs'), program('esm'))
    const outfile = path.join(made, `bundle.${extension}`)
    await esbuild.build({
      entryPoints: [path.join(made, 'source.mjs')],
      outfile,
      bundle: true,
      platform: 'node',
      format,
      external: [PACKAGE],
    })
    assert.strictEqual(run(outfile), 'function alice\n')
  })
}

test('esbuild, all in: the addon is copied', async () => {
  const made = folder()
  fs.writeFileSync(path.join(made, 'source.mjs'), program('esm'))
  const outdir = path.join(made, 'out')
  const loader = { '.node': 'copy' }
  await esbuild.build({ entryPoints: [path.join(made, 'source.mjs')], outdir, bundle: true, platform: 'node', format: 'cjs', loader, external: ['express-session'] })
  fs.rmSync(path.join(made, 'node_modules'), { recursive: true })
  assert.strictEqual(run(path.join(outdir, 'source.js')), 'function alice\n')
})

test('webpack, the package left out', async () => {
  const made = folder()
  fs.writeFileSync(path.join(made, 'source.js'), program('cjs'))
  const compiler = webpack({
    mode: 'production',
    target: 'node',
    entry: path.join(made, 'source.js'),
    output: { path: made, filename: 'bundle.js' },
    externals: { [PACKAGE]: `commonjs ${PACKAGE}` },
  })
  const stats = await new Promise((resolve, reject) => compiler.run((error, done) => (error ? reject(error) : resolve(done))))
  assert.ok(!stats.hasErrors(), stats.toString())
  assert.strictEqual(run(path.join(made, 'bundle.js')), 'function alice\n')
})

test('ncc, all in, without options', async () => {
  const made = folder()
  fs.writeFileSync(path.join(made, 'source.js'), program('cjs'))
  const { code, assets } = await require('@vercel/ncc')(path.join(made, 'source.js'), { cache: false, quiet: true })
  const out = path.join(made, 'out')
  fs.mkdirSync(out)
  fs.writeFileSync(path.join(out, 'index.js'), code)
  for (const [name, { source }] of Object.entries(assets)) {
    fs.mkdirSync(path.dirname(path.join(out, name)), { recursive: true })
    fs.writeFileSync(path.join(out, name), source)
  }
  fs.rmSync(path.join(made, 'node_modules'), { recursive: true })
  assert.strictEqual(run(path.join(out, 'index.js')), 'function alice\n')
})

/** What the package says on a platform, without an addon. */
function loadOn({ arch = process.arch } = {}) {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'bare-'))
  process.on('exit', () => fs.rmSync(made, { recursive: true, force: true }))
  const from = path.dirname(require.resolve(`${PACKAGE}/package.json`))
  for (const file of fs.readdirSync(from).filter((name) => name.endsWith('.js'))) fs.copyFileSync(path.join(from, file), path.join(made, file))
  const code = `Object.defineProperty(process, 'arch', { value: '${arch}' })
    try { require('${made}') } catch (error) { console.log(error.message) }`
  return execFileSync(process.execPath, ['-e', code], { encoding: 'utf8' })
}

test('a platform whose package is missing, and one that has none, are named', () => {
  const libc = process.report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl'
  assert.match(loadOn(), new RegExp(`the package dynamodb-web-session-linux-${process.arch}-${libc} is missing.*npm install`))
  const unknown = loadOn({ arch: 'mips' })
  assert.match(unknown, new RegExp(`has no addon for linux-mips-${libc}, only for linux-x64-gnu, .*win32-x64`))
})

test('only in workers, several at once, with settings and credentials in their own process.env', async () => {
  const code = `
    const { parentPort } = require('node:worker_threads')
    const { SessionManager } = require(${JSON.stringify(require.resolve(PACKAGE))})
    new SessionManager().create({}, { subject: 'bob' }).then(
      (session) => parentPort.postMessage(session.subject),
      (error) => parentPort.postMessage(String(error)),
    )`
  const parent = `
    const { Worker } = require('node:worker_threads')
    const env = { ...process.env, ...JSON.parse(process.argv[1]) }
    Promise.all([1, 2, 3].map(() => new Promise((resolve) => new Worker(${JSON.stringify(code)}, { eval: true, env }).on('message', resolve))))
      .then((said) => console.log(said.join()))`
  const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL_DYNAMODB, SESSION_TABLE_NAME, ...others } = table.environment
  const own = JSON.stringify({ AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL_DYNAMODB, SESSION_TABLE_NAME })
  const said = execFileSync(process.execPath, ['-e', parent, own], { env: others, encoding: 'utf8', timeout: 60_000 })
  assert.strictEqual(said, 'bob,bob,bob\n')
})

test('a worker that ends while a call is under way takes nothing with it', async () => {
  const code = `
    const { SessionManager } = require(${JSON.stringify(require.resolve(PACKAGE))})
    const sessions = new SessionManager()
    for (let call = 0; call < 20; call++) sessions.create({}).catch(() => {})
    setImmediate(() => process.exit())`
  for (let round = 0; round < 5; round++) {
    const worker = new Worker(code, { eval: true, env: table.environment })
    await new Promise((resolve) => worker.on('exit', resolve))
  }
  const session = await table.manager().create({})
  assert.ok(await table.manager().load(session.id))
})
