'use strict'
// Runs express-session's own tests with this package's store in place of MemoryStore, on the embedded DynamoDB:
//
//   git clone --branch v1.19.0 https://github.com/expressjs/session /tmp/session && npm install --prefix /tmp/session
//   node suite/run.js /tmp/session
//
// What may fail is in expected.json, each with its reason. The exit code is 1 when anything else fails, or when one of them passes.

const { execFileSync, spawn } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { serveEmbeddedDynamoDb } = require('..')

async function main() {
  if (process.argv.length !== 3) throw new Error('usage: node suite/run.js CHECKOUT-OF-EXPRESS-SESSION')
  const checkout = path.resolve(process.argv[2])
  const url = await serveEmbeddedDynamoDb()
  const env = {
    ...process.env,
    CHECKOUT: checkout,
    AWS_ENDPOINT_URL_DYNAMODB: url,
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    AWS_REGION: 'us-east-1',
  }
  execFileSync('sh', [path.join(checkout, 'test/support/gencert.sh')], { cwd: checkout, stdio: 'ignore' })
  const program = [path.join(checkout, 'node_modules/mocha/bin/mocha.js'), '--require', 'test/support/env', '--require', path.join(__dirname, 'preload.js')]
  const child = spawn(process.execPath, [...program, '--reporter', 'json', '--exit', 'test/session.js'], { cwd: checkout, env })
  let printed = ''
  child.stdout.on('data', (data) => (printed += data))
  child.stderr.on('data', (data) => process.stderr.write(data))
  await new Promise((resolve) => child.on('close', resolve))
  const report = JSON.parse(printed.slice(printed.indexOf('{\n  "stats"')))
  const failed = new Map(report.failures.map(({ fullTitle, err }) => [fullTitle, err.message]))
  const expected = JSON.parse(fs.readFileSync(path.join(__dirname, 'expected.json'), 'utf8'))
  const unexpected = [...failed].filter(([title]) => !(title in expected))
  const passed = Object.keys(expected).filter((title) => !failed.has(title))
  for (const [title, message] of unexpected) console.log(`failed: ${title}\n        ${message}`)
  for (const title of passed) console.log(`passes by now: ${title}`)
  console.log(`${report.stats.passes} of ${report.stats.tests} tests pass; ${failed.size} fail, ${failed.size - unexpected.length} of them as expected`)
  process.exit(unexpected.length + passed.length === 0 ? 0 : 1)
}

main()
