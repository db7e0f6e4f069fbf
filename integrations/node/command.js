#!/usr/bin/env node
'use strict'
// Commands for a session table: `npx dynamodb-web-session --help`.

const native = require('./native.js')

process.exitCode = native.runCommand(['dynamodb-web-session', ...process.argv.slice(2)])
