#!/usr/bin/env node
'use strict'
// Commands for a session table: `npx dynamodb-web-session --help`.

const native = require('./native.js')

// Node.js ends itself in its own handlers of these, and never comes to that end once `local` has taken them too.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => {})

process.exitCode = native.runCommand(['dynamodb-web-session', ...process.argv.slice(2)])
