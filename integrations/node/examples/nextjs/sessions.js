import { fetchSessions } from 'dynamodb-web-session'

export const { getSession, commit, destroy } = fetchSessions({ cookie: { secure: process.env.NODE_ENV === 'production' } })

/** A redirect to a page, with the cookie of the session. */
export function redirectWith(cookie, path = '/') {
  const headers = new Headers({ location: path })
  if (cookie) headers.append('set-cookie', cookie)
  return new Response(null, { status: 303, headers })
}
