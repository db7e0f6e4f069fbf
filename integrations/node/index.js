'use strict'
// Web sessions in DynamoDB. `index.d.ts` documents what is exported.

const { translated: _, ...errors } = require('./errors.js')
const { expressStore } = require('./express.js')
const manager = require('./manager.js')

module.exports = { ...manager, ...errors, expressStore }
