'use strict'
// A table of its own for each test file, on the embedded DynamoDB or the one at AWS_ENDPOINT_URL_DYNAMODB.

const { randomUUID } = require('node:crypto')
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

module.exports = { dynamoDb, startTable }
