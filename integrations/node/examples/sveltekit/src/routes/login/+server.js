import { error, redirect } from '@sveltejs/kit'
import { SessionError } from 'dynamodb-web-session'

// After the password was verified: a new ID, and a session of the user.
export async function POST({ request, locals: { session } }) {
  const user = String((await request.formData()).get('user'))
  try {
    await session.logIn(user)
  } catch (refused) {
    if (refused instanceof SessionError) error(refused.status, refused.name) // 409: the user has too many sessions
    throw refused
  }
  redirect(303, '/')
}
