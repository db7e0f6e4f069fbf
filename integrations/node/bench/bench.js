'use strict'
// Measures the store for express-session beside connect-dynamodb, on the same table service.
//
//     node integrations/node/bench/bench.js          # prints the tables
//     node integrations/node/bench/bench.js write    # puts them into docs/performance.md, with the plot

const { spawn, execFileSync } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const http = require('node:http')
const os = require('node:os')
const path = require('node:path')

const DOCS = path.join(__dirname, '../../../docs')
const BLOCKS = 10
const CALLS = 200
const STARTS = 21
const DATA = { text: 'x'.repeat(1000) }

Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local', AWS_REGION: 'us-east-1' })
delete process.env.AWS_CA_BUNDLE // ours would read it at the start; the SDK for JavaScript does not know it

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]

async function start(script, ...values) {
  const child = spawn(process.execPath, [script, ...values], { stdio: ['ignore', 'pipe', 'inherit'] })
  let printed = ''
  while (!/https?:\/\/[\w.]+:\d+/.test(printed)) printed += (await once(child.stdout, 'data'))[0]
  return { child, url: /https?:\/\/[\w.]+:\d+/.exec(printed)[0] }
}

/** Counts the operations on their way to DynamoDB. */
async function countingProxy(upstream) {
  const operations = []
  const agent = new http.Agent({ keepAlive: true })
  const server = http.createServer((request, response) => {
    operations.push(String(request.headers['x-amz-target']).split('.')[1])
    const options = { method: request.method, headers: request.headers, agent, path: request.url }
    const onward = http.request(upstream, options, (answer) => {
      response.writeHead(answer.statusCode, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    request.pipe(onward)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { operations, server, url: `http://127.0.0.1:${server.address().port}` }
}

/** The stores that are compared. `connect-dynamodb` has a table of its own. */
const STORES = {
  ours(session) {
    return require('dynamodb-web-session').expressStore(session)
  },
  'connect-dynamodb'(session) {
    const { DynamoDBClient } = require('@aws-sdk/client-dynamodb')
    const Store = require('connect-dynamodb')(session)
    return new Store({ table: 'connect', client: new DynamoDBClient({ endpoint: process.env.AWS_ENDPOINT_URL_DYNAMODB }) })
  },
  MemoryStore(session) {
    return new session.MemoryStore()
  },
}

const promised = (store, verb, ...values) =>
  new Promise((resolve, reject) => store[verb](...values, (error, value) => (error ? reject(error) : resolve(value))))

const cookie = (session) => new session.Cookie({ maxAge: 3_600_000 })

/** CPU and time of one `get`, in microseconds. */
async function gets() {
  const session = require('express-session')
  const id = 'A'.repeat(32)
  const stores = {}
  for (const name of ['ours', 'connect-dynamodb']) {
    stores[name] = STORES[name](session)
    if (name === 'ours') await stores[name].sessions.createUnderGivenId(id, { cookie: cookie(session), ...DATA })
    else await promised(stores[name], 'set', id, { cookie: cookie(session), ...DATA })
  }
  const figures = { ours: [], 'connect-dynamodb': [] }
  for (let block = 0; block <= BLOCKS; block++) {
    for (const [name, store] of Object.entries(stores)) {
      const [cpu, time] = [process.cpuUsage(), process.hrtime.bigint()]
      for (let n = 0; n < CALLS; n++) await promised(store, 'get', id)
      const used = process.cpuUsage(cpu)
      const wall = Number(process.hrtime.bigint() - time) / 1000
      if (block > 0) figures[name].push({ cpu: (used.user + used.system) / CALLS, wall: wall / CALLS })
    }
  }
  return Object.fromEntries(
    Object.entries(figures).map(([name, blocks]) => [name, { cpu: median(blocks.map((b) => b.cpu)), wall: median(blocks.map((b) => b.wall)) }]),
  )
}

const application = (name) => `
  const session = require('express-session')
  const { STORES } = require(${JSON.stringify(__filename)})
  const store = STORES[${JSON.stringify(name)}](session)
  const middleware = session({ store, secret: 'secret', resave: false, saveUninitialized: false, cookie: { maxAge: 3600000 } })
  const routes = {
    '/cpu': (request, response) => response.end(JSON.stringify(process.cpuUsage())),
    '/read': ({ session }, response) => response.end(String(session.text?.length)),
    '/write': ({ session }, response) => response.end('written' + (session.text = ${JSON.stringify(DATA.text)}).length),
    '/change': ({ session }, response) => response.end(String((session.n = Math.random()))),
    '/logout': ({ session }, response) => session.destroy(() => response.end('out')),
    '/slow': ({ session }, response) => setTimeout(() => response.end('slow'), 300),
    '/slow-change': ({ session }, response) => {
      session.n = Math.random()
      setTimeout(() => response.end('slow'), 300)
    },
  }
  const server = require('node:http').createServer((request, response) => {
    request.originalUrl = request.url
    const route = () => routes[request.url](request, response)
    // express-session reports a failed save to next, after the response.
    if (request.url === '/cpu') route()
    else middleware(request, response, (error) => (error ? response.destroy() : route()))
  })
  server.listen(0, '127.0.0.1', () => console.log('http://127.0.0.1:' + server.address().port))
`

async function serve(name, endpoint, agent = new http.Agent({ keepAlive: true })) {
  const env = { ...process.env, AWS_ENDPOINT_URL_DYNAMODB: endpoint }
  const child = spawn(process.execPath, ['-e', application(name)], { env, cwd: path.join(__dirname, '..'), stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(child.stdout, 'data')
  const url = String(line).trim()
  const get = (route, cookie) =>
    new Promise((resolve, reject) => {
      const request = http.get(url + route, { agent, headers: cookie ? { cookie } : {} }, (response) => {
        let text = ''
        response.on('data', (data) => (text += data))
        response.on('error', reject)
        response.on('close', () => resolve({ text }))
        response.on('end', () => resolve({ text, cookie: response.headers['set-cookie']?.[0].split(';')[0] }))
      })
      request.on('error', reject)
    })
  return { child, get }
}

/** CPU of the server and requests a second, of a request that reads the session; and what it and others ask of DynamoDB. */
async function requests(endpoint) {
  const names = ['ours', 'connect-dynamodb', 'MemoryStore']
  const proxy = await countingProxy(endpoint)
  const asked = {}
  for (const name of names) {
    const { child, get } = await serve(name, proxy.url)
    const { cookie } = await get('/write')
    await get('/read', cookie)
    asked[name] = []
    for (const route of ['/read', '/change', '/logout']) {
      proxy.operations.length = 0
      await get(route, cookie)
      asked[name].push(proxy.operations.join(', ') || 'none')
    }
    child.kill()
  }
  proxy.server.close()
  const servers = {}
  for (const name of names) {
    servers[name] = await serve(name, endpoint)
    servers[name].cookie = (await servers[name].get('/write')).cookie
    servers[name].figures = { '/read': [], '/change': [] }
  }
  for (let block = 0; block <= BLOCKS; block++) {
    for (const { get, cookie, figures } of Object.values(servers)) {
      for (const [route, blocks] of Object.entries(figures)) {
        const before = JSON.parse((await get('/cpu')).text)
        const time = process.hrtime.bigint()
        for (let n = 0; n < CALLS; n++) {
          const { text } = await get(route, cookie)
          if (route === '/read' ? text !== '1000' : !(Number(text) < 1)) throw new Error(`${route} ${text}`)
        }
        const wall = Number(process.hrtime.bigint() - time) / 1000
        const after = JSON.parse((await get('/cpu')).text)
        const cpu = after.user + after.system - before.user - before.system
        if (block > 0) blocks.push({ cpu: cpu / CALLS, wall: wall / CALLS })
      }
    }
  }
  const medians = (blocks) => ({ cpu: median(blocks.map((b) => b.cpu)), wall: median(blocks.map((b) => b.wall)) })
  const result = {}
  for (const [name, { child, figures }] of Object.entries(servers)) {
    child.kill()
    result[name] = { ...medians(figures['/read']), change: medians(figures['/change']), asked: asked[name] }
  }
  return result
}

/** What a logout leaves of a session when a slow request is under way. */
async function races(endpoint) {
  const outcomes = {}
  for (const name of ['ours', 'connect-dynamodb', 'MemoryStore']) {
    outcomes[name] = []
    for (const route of ['/slow-change', '/slow']) {
      const slow = await serve(name, endpoint, new http.Agent()) // a failed save ends its connection
      const { cookie } = await slow.get('/write')
      const finished = slow.get(route, cookie).catch(() => {})
      await new Promise((resolve) => setTimeout(resolve, 150))
      await slow.get('/logout', cookie)
      await finished
      const { text } = await slow.get('/read', cookie)
      outcomes[name].push(text === '1000' ? 'the session lives again' : 'it stays ended')
      slow.child.kill()
    }
  }
  return outcomes
}

const START = (program) => `
  const start = process.hrtime.bigint()
  const finish = (found) => {
    if (!found) throw new Error('not found')
    console.log(Number(process.hrtime.bigint() - start) / 1e6)
    process.exit()
  }
  ${program}
`

/** From the import to the end of the first load, in milliseconds. */
function starts() {
  const id = 'A'.repeat(32)
  const programs = {
    ours: `new (require('dynamodb-web-session').SessionManager)().load('${id}').then((session) => finish(session.data.text))`,
    'connect-dynamodb': `
      const { STORES } = require(${JSON.stringify(__filename)})
      STORES['connect-dynamodb'](require('express-session')).get('${id}', (error, session) => finish(session.text))`,
  }
  const figures = { ours: [], 'connect-dynamodb': [] }
  for (let n = 0; n < STARTS; n++) {
    for (const [name, program] of Object.entries(programs)) {
      const printed = execFileSync(process.execPath, ['-e', START(program)], { cwd: path.join(__dirname, '..') })
      figures[name].push(Number(printed))
    }
  }
  return { ours: median(figures.ours), 'connect-dynamodb': median(figures['connect-dynamodb']) }
}

/** 200 loads at once, so many in all: how long the event loop was late, in milliseconds, and the memory on the way, in MiB. */
const CONCURRENT = (name, total) => `
  const { monitorEventLoopDelay } = require('node:perf_hooks')
  const { STORES } = require(${JSON.stringify(__filename)})
  const store = STORES[${JSON.stringify(name)}](require('express-session'))
  const memory = () => process.memoryUsage.rss() / 2 ** 20
  let left = ${total}
  let early
  const delay = monitorEventLoopDelay({ resolution: 1 })
  const load = (done) => {
    if (left === ${total} - 100_000) early ??= memory()
    if (left-- <= 0) return done()
    store.get('${'A'.repeat(32)}', (error, data) => {
      if (error ?? data.text.length !== 1000) throw error ?? new Error('not found')
      load(done)
    })
  }
  const begun = Date.now()
  delay.enable()
  Promise.all(Array.from({ length: 200 }, () => new Promise(load))).then(() => {
    const of = (nanoseconds) => nanoseconds / 1e6 - 1
    const rate = ${total} / ((Date.now() - begun) / 1000)
    console.log(JSON.stringify({ rate, median: of(delay.percentile(50)), late: of(delay.percentile(99)), early, end: memory() }))
    process.exit()
  })
`

function concurrent() {
  const run = (name, total) => JSON.parse(execFileSync(process.execPath, ['-e', CONCURRENT(name, total)], { cwd: path.join(__dirname, '..') }))
  return { ours: run('ours', 1_000_000), 'connect-dynamodb': run('connect-dynamodb', 20_000) }
}

const row = (...cells) => `| ${cells.join(' | ')} |`

function report({ get, request, start, race, concurrent }) {
  const whole = (value) => value.toFixed(0)
  const ratio = (figures, of = (value) => value) => of(figures['connect-dynamodb']) / of(figures.ours)
  const cpu = (value) => value.cpu
  const ratios = [
    ['CPU of a load, connect-dynamodb to ours', ratio(get, cpu), 4, ''],
    ['CPU of an HTTP request that reads the session, connect-dynamodb to ours', ratio(request, cpu), 4, '≥ 8'],
    ['CPU of an HTTP request that changes the session, connect-dynamodb to ours', ratio(request, ({ change }) => change.cpu), null, ''],
    ['the CPU of the reading request without what MemoryStore takes', (request['connect-dynamodb'].cpu - request.MemoryStore.cpu) / (request.ours.cpu - request.MemoryStore.cpu), null, ''],
    ['import to the end of the first load, connect-dynamodb to ours', ratio(start), 10, ''],
  ]
  return [
    `\`node integrations/node/bench/bench.js write\`, on ${new Date().toISOString().slice(0, 10)}, ${os.cpus().length} cores, Linux ${os.release()}, Node ${process.version}.`,
    '',
    row('store', 'CPU of a get, µs', 'time, µs', 'CPU of an HTTP request that reads, µs', 'time, µs', 'CPU of one that changes, µs', 'time, µs', 'import to first load, ms'),
    row('---', '---:', '---:', '---:', '---:', '---:', '---:', '---:'),
    ...Object.entries(request).map(([name, figures]) =>
      row(name, get[name] ? whole(get[name].cpu) : '', get[name] ? whole(get[name].wall) : '', whole(figures.cpu), whole(figures.wall), whole(figures.change.cpu), whole(figures.change.wall), start[name]?.toFixed(1) ?? ''),
    ),
    '',
    row('200 gets at once', 'gets a second', 'the event loop is late, ms, median', '99 of 100'),
    row('---', '---:', '---:', '---:'),
    ...Object.entries(concurrent).map(([name, { rate, median, late }]) => row(name, whole(rate), median.toFixed(1), late.toFixed(1))),
    '',
    `Ours made a million gets so: the process had ${whole(concurrent.ours.early)} MiB after 100,000 of them, and ${whole(concurrent.ours.end)} MiB after all.`,
    '',
    row('store', 'a request that reads the session asks DynamoDB for', 'one that changes it', 'a logout'),
    row('---', '---', '---', '---'),
    ...Object.entries(request).map(([name, { asked }]) => row(name, ...asked)),
    '',
    row('a logout while a slow request is under way', 'that has changed the session', 'that only reads it'),
    row('---', '---', '---'),
    ...Object.entries(race).map(([name, outcomes]) => row(name, ...outcomes)),
    '',
    row('ratio', 'measured', 'must', 'met', 'aim'),
    row('---', '---:', '---:', '---', '---:'),
    ...ratios.map(([name, measured, must, aim]) => row(name, measured.toFixed(1), must ? `≥ ${must}` : '', must ? (measured >= must ? 'yes' : '**no**') : '', aim)),
  ].join('\n')
}

function plot({ get, request }) {
  const bars = [
    ['get, ours', get.ours.cpu],
    ['get, connect-dynamodb', get['connect-dynamodb'].cpu],
    ...Object.entries(request).map(([name, { cpu }]) => [`HTTP request, ${name}`, cpu]),
  ]
  const longest = Math.max(...bars.map(([, value]) => value))
  const height = bars.length * 26 + 40
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 ${height}" font-family="sans-serif" font-size="13">`,
    `<rect width="720" height="${height}" fill="#fff"/>`,
    '<text x="8" y="22" font-weight="bold">CPU with a session of 1 KB, microseconds</text>',
    ...bars.map(([name, value], place) => {
      const [y, width] = [place * 26 + 36, (value / longest) * 420]
      const colour = name.endsWith('ours') ? '#0b6' : '#89a'
      return `<text x="230" y="${y + 14}" text-anchor="end">${name}</text><rect x="238" y="${y}" width="${width.toFixed(0)}" height="16" fill="${colour}"/><text x="${(244 + width).toFixed(0)}" y="${y + 14}">${value.toFixed(0)}</text>`
    }),
    '</svg>\n',
  ].join('\n')
}

async function main() {
  const dynamodb = await start(path.join(__dirname, '../command.js'), 'local', '--port', '0')
  process.env.AWS_ENDPOINT_URL_DYNAMODB = dynamodb.url
  const { DynamoDB } = require('@aws-sdk/client-dynamodb')
  await new DynamoDB({ endpoint: dynamodb.url }).createTable({
    TableName: 'connect',
    AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
    KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
    BillingMode: 'PAY_PER_REQUEST',
  })
  const figures = { get: await gets(), start: starts(), concurrent: concurrent(), request: await requests(dynamodb.url), race: await races(dynamodb.url) }
  dynamodb.child.kill()
  const text = report(figures)
  console.log(text)
  if (process.argv[2] === 'write') {
    const file = path.join(DOCS, 'performance.md')
    const [before, rest] = fs.readFileSync(file, 'utf8').split('<!-- node -->\n')
    const [, after] = rest.split('<!-- end of node -->\n')
    fs.writeFileSync(file, `${before}<!-- node -->\n\n${text}\n\n<!-- end of node -->\n${after}`)
    fs.writeFileSync(path.join(DOCS, 'performance-node.svg'), plot(figures))
  }
  process.exit()
}

module.exports = { STORES }
if (require.main === module) {
  main().catch((error) => {
    console.error(error)
    process.exit(1)
  })
}
