'use strict'
// Packs this package, and one for each platform whose addon is given:
//
//   node pack.js FOLDER linux-x64-gnu=native.node linux-arm64-gnu=...

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { PLATFORMS } = require('./platforms.js')

const [to, ...addons] = process.argv.slice(2)
if (!to) throw new Error('usage: node pack.js FOLDER PLATFORM=ADDON...')
const described = JSON.parse(fs.readFileSync(path.join(__dirname, 'package.json'), 'utf8'))
const { name, version, license, engines, repository } = described

/** Packs a folder with these files. */
function pack(manifest, files) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pack-'))
  fs.writeFileSync(path.join(folder, 'package.json'), JSON.stringify(manifest, undefined, 2))
  for (const [name, from] of Object.entries(files)) fs.copyFileSync(from, path.join(folder, name))
  for (const license of ['LICENSE', 'LICENSE-APACHE', 'LICENSE-MIT']) {
    fs.copyFileSync(path.join(__dirname, '../..', license), path.join(folder, license))
  }
  console.log(execFileSync('npm', ['pack', '--silent', '--pack-destination', path.resolve(to), folder], { encoding: 'utf8' }).trim())
  fs.rmSync(folder, { recursive: true })
}

fs.mkdirSync(to, { recursive: true })
const { devDependencies: _, scripts: __, ...published } = described
const optionalDependencies = Object.fromEntries(Object.keys(PLATFORMS).map((platform) => [`${name}-${platform}`, version]))
const files = Object.fromEntries([...described.files, 'README.md'].map((file) => [file, path.join(__dirname, file)]))
pack({ ...published, optionalDependencies }, files)

for (const addon of addons) {
  const [platform, file] = addon.split('=')
  if (!PLATFORMS[platform]) throw new Error(`there is no platform ${platform}: ${Object.keys(PLATFORMS).join(', ')}`)
  const description = `The addon of ${name} for ${platform}`
  const manifest = { name: `${name}-${platform}`, version, description, license, engines, repository, main: 'native.node', ...PLATFORMS[platform] }
  pack(manifest, { 'native.node': file })
}
