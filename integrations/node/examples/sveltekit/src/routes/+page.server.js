export function load({ locals: { session } }) {
  return { user: session.user ?? 'nobody', visits: session.data.visits ?? 0 }
}
