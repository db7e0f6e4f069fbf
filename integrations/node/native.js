'use strict'
// The addon: that of this folder, if it was built here, or the one in the package of the platform.

const { PLATFORMS, platform } = require('./platforms.js')

function load() {
  try {
    return require('./native.node')
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') throw error
  }
  const name = platform()
  // The names stand here as texts so that bundlers find the file, and within `try` so that they leave out those that are not there.
  try {
    switch (name) {
      case 'linux-x64-gnu':
        return require('dynamodb-web-session-linux-x64-gnu')
      case 'linux-x64-musl':
        return require('dynamodb-web-session-linux-x64-musl')
      case 'linux-arm64-gnu':
        return require('dynamodb-web-session-linux-arm64-gnu')
      case 'linux-arm64-musl':
        return require('dynamodb-web-session-linux-arm64-musl')
      case 'darwin-x64':
        return require('dynamodb-web-session-darwin-x64')
      case 'darwin-arm64':
        return require('dynamodb-web-session-darwin-arm64')
      case 'win32-x64':
        return require('dynamodb-web-session-win32-x64')
    }
  } catch (cause) {
    if (cause.code !== 'MODULE_NOT_FOUND') throw cause
    const missing = `dynamodb-web-session-${name}`
    throw new Error(
      `the package ${missing} is missing. npm leaves it out with --omit=optional, and with a package-lock.json or a node_modules ` +
        `of another platform: install it with \`npm install ${missing}\``,
      { cause },
    )
  }
  throw new Error(`dynamodb-web-session has no addon for ${name}, only for ${Object.keys(PLATFORMS).join(', ')}`)
}

module.exports = load()
