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
<button formaction="/logout">Log out</button> <button formaction="/everywhere">Log out everywhere</button></form>`)
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
