import { destroy, getSession, redirectWith } from '../../sessions'

export async function POST(request) {
  return redirectWith(await destroy(await getSession(request)))
}
