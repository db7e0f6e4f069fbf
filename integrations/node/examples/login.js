'use strict'
// A login with Express: `node login.js`.

const express = require('express')
const session = require('express-session')
const { expressStore, logIn } = require('dynamodb-web-session')

const store = expressStore(session, { subject: (data) => data.user })
const app = express()
app.use(express.urlencoded())
app.use(
  session({
    store,
    secret: process.env.SECRETS?.split(',') ?? 'only for this example', // the first signs, all verify
    name: 'id',
    resave: false,
    saveUninitialized: false,
    cookie: { sameSite: 'lax' }, // and secure: true where it is served over HTTPS
  }),
)

app.get('/', ({ session: { user, visits = 0 } }, response) => {
  response.send(`<p>user: ${user && encodeURIComponent(user)}, visits: ${visits}</p><form method="post"><input name="user" placeholder="name">
<button formaction="/login">Log in</button> <button formaction="/visit">Count</button>
<button formaction="/logout">Log out</button> <button formaction="/everywhere">Log out everywhere</button></form>
<a href="/devices">Where you are logged in</a>`)
})

/** A label is what a client has sent. */
const escaped = (text) => text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`)

app.get('/devices', async (request, response) => {
  const { user } = request.session
  const devices = user ? await store.sessionsOf(user, { current: request }) : []
  const items = devices.map(({ label = 'an unknown device', context, lastUsed, isCurrent, name }) => {
    const what = isCurrent ? '(this device)' : `<form method="post"><button name="name" value="${name}">Log out there</button></form>`
    return `<li>${escaped(label)}, ${escaped(context?.address ?? 'no address')}, last used ${lastUsed.toUTCString()} ${what}</li>`
  })
  response.send(`<ul>${items.join('')}</ul>`)
})

app.post('/devices', async (request, response) => {
  if (request.session.user) await store.revoke(request.session.user, request.body.name)
  response.redirect('/devices')
})

app.post('/visit', (request, response) => {
  request.session.visits = (request.session.visits ?? 0) + 1
  response.redirect('/') // which waits until the session is stored
})

// After the password was verified: a new ID, and a session of the user.
app.post('/login', async (request, response) => {
  await logIn(request, request.body.user, { user: request.body.user })
  response.redirect('/')
})

app.post('/logout', (request, response, next) => {
  request.session.destroy((error) => (error ? next(error) : response.redirect('/')))
})

app.post('/everywhere', async (request, response) => {
  await store.logOutEverywhere(request.session.user)
  request.session.destroy(() => response.redirect('/'))
})

const server = app.listen(process.env.PORT ?? 3002, '127.0.0.1', () => {
  console.log(`http://localhost:${server.address().port}/ is ready`)
})
