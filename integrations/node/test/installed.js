'use strict'
// Applications in folders of their own, with the package as it is published. PACKAGES is a folder with what pack.js makes; without it
// these tests are skipped, because they need the registry of npm.

const { execFile, spawn } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { promisify } = require('node:util')
const { startRegistry } = require('./registry.js')

const packages = process.env.PACKAGES
const options = { skip: packages === undefined && 'PACKAGES is not set', timeout: 300_000 }

let registry
async function start() {
  if (packages) registry = await startRegistry(path.resolve(packages))
}

function folderOf(from, files) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'installed-'))
  process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }))
  if (from) fs.cpSync(from, folder, { recursive: true })
  for (const [name, text] of Object.entries({ '.npmrc': `registry=${registry}\n`, ...files })) fs.writeFileSync(path.join(folder, name), text)
  return folder
}

/** An application that depends on the package, and has these files. */
function application({ files = {}, ...described } = {}) {
  const manifest = { name: 'application', version: '1.0.0', dependencies: { 'dynamodb-web-session': '0.1.0' }, ...described }
  return folderOf(undefined, { 'package.json': JSON.stringify(manifest), ...files })
}

/** A copy of an example. */
function example(name) {
  return folderOf(path.join(__dirname, '../examples', name), {})
}

function environment(cwd) {
  // With CI, yarn and pnpm install only what a lock file has.
  const { CI: _, NODE_TEST_CONTEXT: __, FORCE_COLOR: ___, ...inherited } = process.env
  return {
    ...inherited,
    PATH: `${path.join(cwd, 'node_modules/.bin')}:${inherited.PATH}`,
    NO_COLOR: '1',
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    AWS_REGION: 'us-east-1',
    npm_config_registry: registry,
    YARN_NPM_REGISTRY_SERVER: registry,
    YARN_NPM_MINIMAL_AGE_GATE: '0',
    YARN_UNSAFE_HTTP_WHITELIST: '127.0.0.1',
    YARN_ENABLE_TELEMETRY: '0',
    NEXT_TELEMETRY_DISABLED: '1',
    // Not the caches of the user: the same version has other files after the next build.
    YARN_GLOBAL_FOLDER: path.join(cwd, 'store'),
    BUN_INSTALL_CACHE_DIR: path.join(cwd, 'store'),
    DENO_DIR: path.join(cwd, 'store'),
    DENO_NO_UPDATE_CHECK: '1',
  }
}

/** Runs a program to its end. Returns what it printed; of npx and npm, to both streams. */
async function run(cwd, program, ...args) {
  const { stdout, stderr } = await promisify(execFile)(program, args, { cwd, env: environment(cwd) }).catch((error) => {
    throw new Error(`${program} ${args.join(' ')}: ${error.message}\n${error.stdout}`)
  })
  return stdout + (program === 'npx' ? stderr : '')
}

async function npmInstall(cwd, ...more) {
  await run(cwd, 'npm', 'install', '--no-audit', '--no-fund', '--prefer-online', ...more)
}

/** Starts a server, and waits until it answers. */
async function serve(cwd, variables, program, ...args) {
  const server = spawn(program, args, { cwd, env: { ...environment(cwd), ...variables }, stdio: ['ignore', 'inherit', 'inherit'], detached: true })
  const url = `http://127.0.0.1:${variables.PORT}`
  for (;;) {
    if (server.exitCode !== null) throw new Error(`${program} has ended`)
    const isUp = await fetch(url).catch(() => undefined)
    if (isUp) return { url, stop: () => process.kill(-server.pid) }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

module.exports = { application, example, npmInstall, options, run, serve, start }
