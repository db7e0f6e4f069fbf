import { redirect } from '@sveltejs/kit'

export function POST({ locals: { session } }) {
  session.data.visits = (session.data.visits ?? 0) + 1
  redirect(303, '/')
}
