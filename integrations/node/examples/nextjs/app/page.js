import { headers } from 'next/headers'
import { getSession } from '../sessions'

export default async function Page() {
  const session = await getSession(await headers())
  return (
    <>
      <p>{`user: ${session.user ?? 'nobody'}, visits: ${session.data.visits ?? 0}`}</p>
      <form method="post">
        <input name="user" placeholder="name" />
        <button formAction="/login">Log in</button>
        <button formAction="/visit">Count</button>
        <button formAction="/logout">Log out</button>
      </form>
    </>
  )
}
