import { SessionError } from 'dynamodb-web-session'
import { commit, getSession, redirectWith } from '../../sessions'

// After the password was verified: a new ID, and a session of the user.
export async function POST(request) {
  const session = await getSession(request)
  try {
    await session.logIn(String((await request.formData()).get('user')))
  } catch (refused) {
    if (refused instanceof SessionError) return new Response(refused.name, { status: refused.status }) // 409: too many sessions
    throw refused
  }
  return redirectWith(await commit(session))
}
