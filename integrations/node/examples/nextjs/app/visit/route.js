import { commit, getSession, redirectWith } from '../../sessions'

export async function POST(request) {
  const session = await getSession(request)
  session.data.visits = (session.data.visits ?? 0) + 1
  return redirectWith(await commit(session))
}
