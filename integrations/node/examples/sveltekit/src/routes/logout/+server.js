import { redirect } from '@sveltejs/kit'

export async function POST({ locals: { session } }) {
  await session.logOut()
  redirect(303, '/')
}
