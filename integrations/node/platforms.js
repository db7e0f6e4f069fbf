'use strict'
// The platforms that have an addon of their own: a package each.

const PLATFORMS = {
  'linux-x64-gnu': { os: ['linux'], cpu: ['x64'], libc: ['glibc'] },
  'linux-x64-musl': { os: ['linux'], cpu: ['x64'], libc: ['musl'] },
  'linux-arm64-gnu': { os: ['linux'], cpu: ['arm64'], libc: ['glibc'] },
  'linux-arm64-musl': { os: ['linux'], cpu: ['arm64'], libc: ['musl'] },
  'darwin-x64': { os: ['darwin'], cpu: ['x64'] },
  'darwin-arm64': { os: ['darwin'], cpu: ['arm64'] },
  'win32-x64': { os: ['win32'], cpu: ['x64'] },
}

/** The platform of this process, such as `linux-x64-gnu`. */
function platform() {
  const { arch, platform } = process
  if (platform !== 'linux') return `${platform}-${arch}`
  return `${platform}-${arch}-${isMusl() ? 'musl' : 'gnu'}`
}

function isMusl() {
  if (!process.report) return false // Bun and Deno are linked to glibc
  process.report.excludeNetwork = true // it would look up names of hosts
  return !process.report.getReport().header.glibcVersionRuntime
}

module.exports = { PLATFORMS, platform }
