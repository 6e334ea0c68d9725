/** Where to go after sign-in: only to a page of this site, whatever the address says. */
export function safeNext(next: string | undefined): string {
  if (!next) return '/'
  try {
    const url = new URL(next, location.origin)
    if (url.origin !== location.origin || !next.startsWith('/') || url.pathname === '/login') return '/'
    return url.pathname + url.search + url.hash
  } catch {
    return '/'
  }
}
