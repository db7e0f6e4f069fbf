'use strict'
const assert = require('node:assert/strict')
const { createHash } = require('node:crypto')
const { before, test } = require('node:test')
const { inspect } = require('node:util')
const {
  ChangedError,
  CorruptRecordError,
  IdInUseError,
  InvalidDataError,
  NotFoundError,
  RawJson,
  RenewedTooOftenError,
  TooManySessionsError,
} = require('dynamodb-web-session')
const { startTable } = require('./table.js')

let table, sessions
before(async () => {
  table = await startTable()
  sessions = table.manager()
})

test('a session is created, loaded, saved and cleared', async () => {
  const { id } = await sessions.create({ fruit: 'apple' })
  const loaded = await sessions.load(id)
  assert.deepEqual(loaded.data, { fruit: 'apple' })
  loaded.data.color = 'red'
  assert.equal(await sessions.save(loaded), undefined)
  assert.deepEqual((await sessions.load(loaded)).data, { fruit: 'apple', color: 'red' })
  assert.equal(await sessions.clear(id), true)
  assert.equal(await sessions.load(id), undefined)
  assert.equal(await sessions.clear(id), false)
})

test('any JSON value comes back', async () => {
  const values = [{}, [], null, 'text', 0, -0.5, 1e300, true, 'é\u0000\u{1f36a}\\"', { '': { a: [null, [[]]] } }]
  const session = await sessions.create('first')
  for (const value of values) {
    session.data = value
    await sessions.save(session)
    assert.deepEqual((await sessions.load(session.id)).data, value)
  }
  await assert.rejects(sessions.create('\ud83d'), InvalidDataError, 'half a surrogate pair')
  const raw = await sessions.create(new RawJson('{"n": 1.10, "big": 123456789012345678901234567890}'))
  assert.equal((await sessions.load(raw)).json, '{"n": 1.10, "big": 123456789012345678901234567890}')
})

test('what a session says of itself', async () => {
  const session = await sessions.create(undefined, { subject: 'alice', idleTimeoutSeconds: 100, absoluteTimeoutSeconds: 500 })
  const now = table.clock.now() * 1000
  assert.equal(session.loggableId, createHash('sha512').update(session.id).digest('hex'))
  assert.equal(session.subject, 'alice')
  assert.deepEqual(session.created, new Date(now))
  assert.deepEqual(session.expires, new Date(now + 100_000))
  assert.deepEqual(session.idleDeadline, session.expires)
  assert.deepEqual(session.absoluteDeadline, new Date(now + 500_000))
  assert.equal(session.idleTimeoutSeconds, 100)
  assert.equal(session.absoluteTimeoutSeconds, 500)
  assert.equal(session.etag, (await sessions.load(session)).etag)
  assert.equal(session.json, '{}')
  for (const shown of [inspect(session), JSON.stringify(session), String(session), inspect({ session }, { depth: 9, showHidden: true })]) {
    assert.ok(!shown.includes(session.id), shown)
  }
})

test('a session ends at its deadlines, and a peek does not use it', async () => {
  const session = await sessions.create({}, { idleTimeoutSeconds: 100, absoluteTimeoutSeconds: 150 })
  table.clock.advance(99)
  assert.deepEqual((await sessions.peek(session)).expires, session.expires)
  assert.ok(await sessions.load(session))
  table.clock.advance(50)
  assert.ok(await sessions.load(session))
  table.clock.advance(1)
  assert.equal(await sessions.load(session), undefined)
  await assert.rejects(sessions.save(session), NotFoundError)
})

test('timeouts change with the next save', async () => {
  const session = await sessions.create()
  session.idleTimeoutSeconds = 30
  session.absoluteTimeoutSeconds = 40
  await sessions.save(session)
  assert.equal(session.expires.getTime() / 1000, table.clock.now() + 30)
  assert.equal((await sessions.load(session)).absoluteTimeoutSeconds, 40)
})

test('an ID that was never issued names no session', async () => {
  for (const id of ['', 'nonsense', 'A'.repeat(43), 'é'.repeat(43), 'A'.repeat(10_000), '\0']) {
    assert.equal(await sessions.load(id), undefined)
    assert.equal(await sessions.peek(id), undefined)
    assert.equal(await sessions.renew(id), undefined)
    assert.equal(await sessions.clear(id), false)
    await assert.rejects(sessions.update(id, { data: {} }), NotFoundError)
  }
})

test('a save if unchanged does not overwrite what another caller saved', async () => {
  const mine = await sessions.create({ n: 1 })
  const theirs = await sessions.load(mine.id)
  theirs.data = { n: 2 }
  await sessions.saveIfUnchanged(theirs)
  mine.data = { n: 3 }
  await assert.rejects(sessions.saveIfUnchanged(mine), ChangedError)
  await sessions.saveIfUnchanged(theirs)
  await sessions.save(mine)
  assert.deepEqual((await sessions.load(mine)).data, { n: 3 })
})

test('an update changes what it is given', async () => {
  const session = await sessions.create({ n: 1 })
  assert.equal(await sessions.update(session, { idleTimeoutSeconds: 50 }), session.etag)
  const etag = await sessions.update(session, { data: { n: 2 }, ifMatch: session.etag })
  const loaded = await sessions.load(session)
  assert.deepEqual([loaded.data, loaded.etag, loaded.idleTimeoutSeconds], [{ n: 2 }, etag, 50])
  const ifMatch = session.etag
  await assert.rejects(sessions.update(session, { data: 3, ifMatch }), ChangedError)
  await assert.rejects(sessions.renew(session, { ifMatch }), ChangedError)
  await assert.rejects(sessions.clear(session, { ifMatch }), ChangedError)
})

test('a login is one step', async () => {
  const old = await sessions.create({ cart: ['apple'] })
  const subject = `subject ${Date.now()}`
  const user = await sessions.logIn(old, subject, { data: { cart: ['apple'], user: 1 }, idleTimeoutSeconds: 100 })
  assert.notEqual(user.id, old.id)
  assert.deepEqual([user.data, user.subject, user.isNew], [{ cart: ['apple'], user: 1 }, subject, false])
  assert.equal(user.idleTimeoutSeconds, 100)
  assert.equal(await sessions.load(old), undefined)
  const again = await sessions.logIn(old.id, subject, { data: { cart: ['apple'] }, dataIfNew: { user: 1 } })
  assert.deepEqual([again.data, again.isNew], [{ user: 1 }, true])
  assert.deepEqual((await sessions.logIn(undefined, subject)).data, {})
  assert.equal((await sessions.sessionsOf(subject)).length, 3)
})

test('the eleventh renewal of a minute is refused', async () => {
  let session = await sessions.create()
  for (let n = 0; n < 10; n++) session = await sessions.renew(session)
  await assert.rejects(sessions.renew(session), RenewedTooOftenError)
  assert.ok(await sessions.load(session))
})

test('a renewal gives a new ID', async () => {
  const old = await sessions.create({ cart: ['apple'] })
  table.clock.advance(10)
  const renewed = await sessions.renew(old)
  assert.notEqual(renewed.id, old.id)
  assert.deepEqual([renewed.data, renewed.subject], [{ cart: ['apple'] }, undefined])
  assert.deepEqual(renewed.absoluteDeadline, old.absoluteDeadline)
  assert.equal(await sessions.load(old), undefined)
  assert.deepEqual((await sessions.renew(renewed, { data: [1] })).data, [1])
  assert.equal(await sessions.renew(renewed), undefined)
})

test('all sessions of a subject end', async () => {
  const made = await Promise.all([1, 2, 3].map((n) => sessions.create({ n }, { subject: 'carol' })))
  const [mine, phone, tablet] = made
  const listed = await sessions.sessionsOf('carol')
  assert.deepEqual(listed.map((each) => each.loggableId).sort(), made.map((each) => each.loggableId).sort())
  // To a tenth of the idle timeout.
  assert.ok(listed[0].expires >= mine.expires && listed[0].expires - mine.expires <= 720_000)
  await sessions.revoke(tablet.loggableId)
  assert.equal(await sessions.load(tablet), undefined)
  await sessions.revokeAll('carol', { except: mine })
  assert.equal(await sessions.load(phone), undefined)
  assert.ok(await sessions.load(mine))
  await sessions.revokeAll('carol')
  assert.deepEqual(await sessions.sessionsOf('carol'), [])
  const one = table.manager({ maxPerSubject: 1, atMaxPerSubject: 'refuse' })
  await one.create({}, { subject: 'dora' })
  await assert.rejects(one.create({}, { subject: 'dora' }), TooManySessionsError)
})

test('a store creates a session under an ID that no record has', async () => {
  const id = 'AAAAAAAAAAAAAAAAAAAAAA'
  assert.equal((await sessions.createUnderGivenId(id, { n: 1 })).id, id)
  await assert.rejects(sessions.createUnderGivenId(id, { n: 2 }), IdInUseError)
  assert.deepEqual((await sessions.load(id)).data, { n: 1 })
  await assert.rejects(sessions.createUnderGivenId('short'), TypeError)
})

test('sealed and plain sessions are read by both', async () => {
  const [sealed, migrating] = [table.manager({ seal: true }), table.manager({ seal: 'migrate' })]
  const [one, two] = [await sessions.create({ n: 1 }), await sealed.create({ n: 2 })]
  assert.deepEqual([(await migrating.load(one)).data, (await sessions.load(two)).data], [{ n: 1 }, { n: 2 }])
  await assert.rejects(sealed.load(one), CorruptRecordError)
})

test('users are what String makes texts of', async () => {
  const sessions = table.manager()
  for (const user of [7, 8n, { toString: () => '507f1f77bcf86cd799439011' }]) {
    const session = await sessions.logIn(undefined, user, { data: { n: 1 } })
    assert.equal(session.subject, String(user))
    assert.equal((await sessions.sessionsOf(user)).length, 1)
    await sessions.revokeAll(user)
    assert.equal((await sessions.sessionsOf(user)).length, 0)
  }
  // All users would be one: [object Object].
  for (const user of [{ id: 1 }, new (class User {})(), Object.create({ id: 1 })]) {
    await assert.rejects(sessions.logIn(undefined, user), /TypeError: a user is named by an ID/)
    await assert.rejects(sessions.revokeAll(user), /TypeError: a user is named by an ID/)
  }
})
