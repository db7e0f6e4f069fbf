'use strict'
// Sessions of another store are moved at their next request: connect-dynamodb's, used as its page says.

const assert = require('node:assert')
const { once } = require('node:events')
const { before, test } = require('node:test')
const { DynamoDBClient } = require('@aws-sdk/client-dynamodb')
const express = require('express')
const session = require('express-session')
const { expressStore } = require('dynamodb-web-session')
const { dynamoDb, startTable } = require('./table.js')

let table
let old
before(async () => {
  table = await startTable()
  const name = `old-${table.name}`
  await dynamoDb(table.url).createTable({
    TableName: name,
    AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
    KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
    BillingMode: 'PAY_PER_REQUEST',
  })
  old = new (require('connect-dynamodb')(session))({ table: name, client: new DynamoDBClient({ endpoint: table.url }) })
})

/** An application with this store, and what the browser with a cookie gets from it. */
async function serve(store) {
  const app = express()
  app.use(session({ store, secret: 'a secret', resave: false, saveUninitialized: false }))
  app.get('/login', (request, response) => {
    Object.assign(request.session, { user: 'alice', cart: ['apple'] })
    response.end()
  })
  app.get('/', (request, response) => response.json([request.session.user ?? null, request.session.cart ?? null]))
  app.get('/logout', (request, response, next) => request.session.destroy((error) => (error ? next(error) : response.end())))
  const server = app.listen(0, '127.0.0.1').unref()
  await once(server, 'listening')
  return async (path, cookie) => {
    const response = await fetch(`http://127.0.0.1:${server.address().port}${path}`, { headers: cookie ? { cookie } : {} })
    return { text: await response.text(), cookie: response.headers.getSetCookie()[0]?.split(';')[0] }
  }
}

const moving = (until, manager = table.manager()) =>
  expressStore(session, { sessions: manager, subject: (data) => data.user, moveFrom: { store: old, until } })

const LATER = new Date(Date.now() + 86_400_000)

test('a session of connect-dynamodb goes on, in the list of its user, and is deleted where it was', async () => {
  const { cookie } = await (await serve(old))('/login')
  const id = decodeURIComponent(cookie).split('s:')[1].split('.')[0]
  const store = moving(LATER)
  const get = await serve(store)
  const both = await Promise.all([get('/', cookie), get('/', cookie)])
  assert.deepStrictEqual(both.map(({ text }) => text), ['["alice",["apple"]]', '["alice",["apple"]]'])
  assert.strictEqual((await store.sessionsOf('alice')).length, 1)
  assert.strictEqual(await new Promise((resolve) => old.get(id, (error, data) => resolve(data ?? null))), null)
  await get('/logout', cookie)
  assert.strictEqual((await get('/', cookie)).text, '[null,null]')
})

test('not after the end date', async () => {
  const { cookie } = await (await serve(old))('/login')
  assert.strictEqual((await (await serve(moving(new Date(Date.now() - 1000))))('/', cookie)).text, '[null,null]')
  assert.throws(() => moving(undefined), /until/)
})

test('an old session is not moved again after a logout, although a copy of it comes back', async () => {
  const { cookie } = await (await serve(old))('/login')
  const id = decodeURIComponent(cookie).split('s:')[1].split('.')[0]
  const copy = await new Promise((resolve, reject) => old.get(id, (error, data) => (error ? reject(error) : resolve(data))))
  const get = await serve(moving(LATER))
  await get('/', cookie)
  await get('/logout', cookie)
  await new Promise((resolve) => old.set(id, copy, resolve)) // a late request of the old program
  assert.strictEqual((await get('/', cookie)).text, '[null,null]')
})
