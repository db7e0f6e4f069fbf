#!/usr/bin/env node
'use strict'
// An embedded DynamoDB on this machine: `npx embedded-dynamodb`.

const { parseArgs } = require('node:util')
const { serveEmbeddedDynamoDb } = require('./index.js')

async function main() {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '8000' },
      data: { type: 'string' },
      'table-name': { type: 'string', default: 'app_session' },
    },
  })
  const tableName = values['table-name']
  const url = await serveEmbeddedDynamoDb({ port: Number(values.port), data: values.data, tableName })
  console.log(`DynamoDB with the table ${tableName} is ready. Let your application use it:\n`)
  console.log(`export AWS_ENDPOINT_URL_DYNAMODB=${url}`)
  console.log('export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_REGION=us-east-1')
  setInterval(() => {}, 2 ** 30)
}

main().catch((error) => {
  console.error(`error: ${error.message}`)
  process.exitCode = 1
})
