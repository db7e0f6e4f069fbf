import { fetchSessions } from 'dynamodb-web-session'
import { dev } from '$app/environment'

const { getSession, commit } = fetchSessions({ cookie: { secure: !dev } })

/** Each request gets its session, and the response the cookie. */
export async function handle({ event, resolve }) {
  event.locals.session = await getSession(event.request)
  const response = await resolve(event)
  const cookie = await commit(event.locals.session)
  if (cookie) response.headers.append('set-cookie', cookie)
  return response
}
