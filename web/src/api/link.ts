/** This tab's socket and query cache, and how the one keeps the other fresh. */
import { QueryCache, QueryClient } from '@tanstack/react-query'
import { signedOut } from './client'
import { usualRetry } from './patience'
import { Socket, type FeedItem } from './socket'
import type { Session } from './types'

export const queryClient = new QueryClient({
  queryCache: new QueryCache(),
  defaultOptions: {
    queries: {
      staleTime: 15_000,
      retry: usualRetry,
    },
  },
})

export const socket = new Socket({
  open: () => new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/api/v1/ws`),
  signedOut,
  recovered: () => void queryClient.invalidateQueries(),
})

/** Something about an object changed: what is shown of it is asked again. */
export function refresh({ kind, id, project_id: projectId }: FeedItem) {
  const stale = (...queryKey: unknown[]) => void queryClient.invalidateQueries({ queryKey })
  if (kind === 'lost') {
    stale()
  } else if (kind === 'harness') {
    for (const what of ['harness', 'timeline']) stale(what, ...(id ? [id] : []))
    if (projectId) stale('harnesses', projectId)
  } else if (kind === 'session') {
    stale('session', ...(id ? [id] : []))
    stale('sessions', ...(id ? listOf(id) : []))
  } else if (kind === 'project') {
    stale('projects')
    stale('deletions')
    for (const what of ['project', 'members', 'harnesses']) stale(what, ...(id ? [id] : []))
  } else {
    stale('me')
    stale('deletions')
    stale('admin-users')
  }
}

/** The harness whose list holds this session, or nothing, which then means every list. */
function listOf(sessionId: string): string[] {
  const lists = queryClient.getQueriesData<Session[]>({ queryKey: ['sessions'] })
  const found = lists.find(([, sessions]) => sessions?.some((s) => s.session_id === sessionId))
  return found ? [String(found[0][1])] : []
}

socket.onFeed(refresh)
