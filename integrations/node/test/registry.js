'use strict'
// A registry of npm that has the packages in a folder, as they would be published, and all others from the registry of npm.

const { createHash } = require('node:crypto')
const { once } = require('node:events')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')

const NAME = 'dynamodb-web-session'
const { PLATFORMS } = require(path.join(path.dirname(require.resolve(`${NAME}/package.json`)), 'platforms.js'))
const UPSTREAM = 'https://registry.npmjs.org'

/** Serves the files that pack.js has made. A platform that has none there is one of another machine. */
async function startRegistry(folder) {
  const server = http.createServer((request, response) => {
    answer(request.url, response).catch((error) => response.writeHead(502).end(String(error)))
  })
  server.listen(0, '127.0.0.1').unref()
  await once(server, 'listening')
  const url = `http://127.0.0.1:${server.address().port}`
  const manifests = new Map([NAME, ...Object.keys(PLATFORMS).map((platform) => `${NAME}-${platform}`)].map((name) => [name, manifest(name)]))

  function manifest(name) {
    const { version, engines, bin } = require(`${NAME}/package.json`)
    const described = { name, version, engines }
    const file = `${name}-${version}.tgz`
    const dist = { tarball: `${url}/files/${file}`, integrity: 'sha512-none' }
    if (fs.existsSync(path.join(folder, file))) {
      dist.integrity = `sha512-${createHash('sha512').update(fs.readFileSync(path.join(folder, file))).digest('base64')}`
    }
    if (name !== NAME) return { ...described, ...PLATFORMS[name.slice(NAME.length + 1)], dist }
    const optionalDependencies = Object.fromEntries(Object.keys(PLATFORMS).map((platform) => [`${NAME}-${platform}`, version]))
    return { ...described, bin, optionalDependencies, dist }
  }

  async function answer(requested, response) {
    const file = requested.match(/^\/files\/([^/]+)$/)?.[1]
    if (file) return response.end(fs.readFileSync(path.join(folder, file)))
    const own = manifests.get(decodeURIComponent(requested.slice(1)))
    if (own) {
      response.setHeader('content-type', 'application/json')
      return response.end(JSON.stringify({ name: own.name, 'dist-tags': { latest: own.version }, versions: { [own.version]: own } }))
    }
    const upstream = await fetch(UPSTREAM + requested)
    response.writeHead(upstream.status, { 'content-type': upstream.headers.get('content-type') ?? 'text/plain' })
    response.end(Buffer.from(await upstream.arrayBuffer()))
  }

  return url
}

module.exports = { startRegistry }
