'use strict'
// What the calls of this process did, for diagnostics_channel and loggers. A report names a session by its loggable ID.

const diagnostics = require('node:diagnostics_channel')
const { translated } = require('./errors.js')
const native = require('./native.js')

const channel = diagnostics.channel('dynamodb-web-session')

/** pino, console, Powertools and winston have these methods. */
const loggers = new Set()

let isListenedTo = false

function addLogger(logger) {
  if (logger === undefined) return
  for (const level of ['debug', 'info', 'warn']) {
    if (typeof logger?.[level] !== 'function') throw new TypeError(`a logger needs the method ${level}`)
  }
  loggers.add(logger)
}

function levelOf({ event }) {
  if (event === 'failed') return 'warn'
  return ['loaded', 'used', 'saved', 'listed'].includes(event) ? 'debug' : 'info'
}

/** pino takes an object and then the text; console and Powertools the text first. */
function log(logger, report) {
  const takesObjectFirst = typeof logger.fatal === 'function'
  const text = `session ${report.event}`
  logger[levelOf(report)](...(takesObjectFirst ? [report, text] : [text, report]))
}

/** Before a call: asks for its report, if somebody wants it. */
function listen() {
  const isWanted = channel.hasSubscribers || loggers.size > 0
  if (isWanted !== isListenedTo) native.listen((isListenedTo = isWanted))
}

/** After a call: hands over what is there. An error of a logger is the program's own, and must not make the call fail. */
function deliver() {
  if (!isListenedTo) return
  for (const text of native.takeReports()) {
    const report = JSON.parse(text)
    channel.publish(report)
    for (const logger of loggers) {
      try {
        log(logger, report)
      } catch (error) {
        process.emitWarning(error)
      }
    }
  }
}

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

module.exports = { addLogger, call }
