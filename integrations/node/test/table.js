'use strict'
// A table of its own for each test file, on the embedded DynamoDB or the one at AWS_ENDPOINT_URL_DYNAMODB.

const { randomUUID } = require('node:crypto')
const { once } = require('node:events')
const http = require('node:http')
const { ManualClock, SessionManager, serveEmbeddedDynamoDb } = require('dynamodb-web-session')

Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local', AWS_REGION: 'us-east-1' })

function dynamoDb(endpoint) {
  const { DynamoDB } = require('@aws-sdk/client-dynamodb')
  return new DynamoDB({ endpoint, region: 'us-east-1', credentials: { accessKeyId: 'local', secretAccessKey: 'local' } })
}

async function startTable() {
  const name = `sessions-${randomUUID()}`
  let url = process.env.AWS_ENDPOINT_URL_DYNAMODB
  if (url === undefined) {
    url = await serveEmbeddedDynamoDb({ tableName: name })
  } else {
    await dynamoDb(url).createTable({
      TableName: name,
      AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
      KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
      BillingMode: 'PAY_PER_REQUEST',
    })
  }
  const clock = new ManualClock()
  const client = dynamoDb(url)
  return {
    name,
    url,
    clock,
    client,
    environment: { ...process.env, AWS_ENDPOINT_URL_DYNAMODB: url, SESSION_TABLE_NAME: name },
    manager: (settings) => new SessionManager({ endpointUrl: url, tableName: name, clock, ...settings }),
    records: async () => (await client.scan({ TableName: name })).Items.filter((item) => item.data).length,
  }
}

/** In front of the table: it lists the operations, and can be an outage. */
async function startProxy(upstream) {
  const proxy = { operations: [], isOutage: false }
  const { hostname, port } = new URL(upstream)
  const server = http.createServer((request, response) => {
    proxy.operations.push(request.headers['x-amz-target'].split('.')[1])
    if (proxy.isOutage) {
      request.resume()
      response.writeHead(500).end('{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError"}')
      return
    }
    const forwarded = http.request({ hostname, port, method: 'POST', headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers)
      answer.pipe(response)
    })
    forwarded.on('error', () => response.destroy())
    request.pipe(forwarded)
  })
  server.listen(0, '127.0.0.1').unref()
  await once(server, 'listening')
  proxy.url = `http://127.0.0.1:${server.address().port}`
  return proxy
}

module.exports = { dynamoDb, startProxy, startTable }
