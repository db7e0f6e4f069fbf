'use strict'
const { translated } = require('./errors.js')
const { deliver, listen } = require('./reports.js')

/** A function of the addon whose errors are those of this package. */
async function call(method, ...values) {
  listen()
  try {
    return await method(...values)
  } catch (error) {
    throw translated(error)
  } finally {
    deliver()
  }
}

module.exports = { call }
