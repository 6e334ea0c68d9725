/** Every read, as query options with one key per object. `link.ts` invalidates by these keys. */
import { infiniteQueryOptions, queryOptions } from '@tanstack/react-query'
import { api, take } from './client'
import { patient } from './patience'
import type { Deletion, Harness } from './types'

const V1 = '/api/v1'
/** A sandbox that starts is looked at this often beside the feed, so that a lost frame costs little. */
const STARTING_POLL_MS = 2_000
/** One that waits for quota may do so for hours. */
const WAITING_POLL_MS = 10_000
const MINUTE_MS = 60_000
/** The agent writes files without telling: a list is asked again soon. */
const FILES_STALE_MS = 2_000
const TIMELINE_PAGE = 20

export const queries = {
  me: () =>
    queryOptions({
      queryKey: ['me'],
      queryFn: ({ signal }) => take(api.GET(`${V1}/auth/me`, { signal })),
      staleTime: MINUTE_MS,
    }),
  site: () =>
    queryOptions({
      queryKey: ['site'],
      queryFn: ({ signal }) => take(api.GET(`${V1}/site`, { signal })),
      staleTime: 5 * MINUTE_MS,
    }),
  models: () =>
    queryOptions({
      queryKey: ['models'],
      queryFn: ({ signal }) => take(api.GET(`${V1}/models`, { signal })),
      staleTime: 5 * MINUTE_MS,
    }),
  modelCatalog: () =>
    queryOptions({
      queryKey: ['models', 'catalog'],
      queryFn: ({ signal }) => take(api.GET(`${V1}/admin/models`, { signal })),
    }),
  projects: () =>
    queryOptions({ queryKey: ['projects'], queryFn: ({ signal }) => take(api.GET(`${V1}/projects`, { signal })) }),
  project: (project_id: string) =>
    queryOptions({
      queryKey: ['project', project_id],
      queryFn: ({ signal }) => take(api.GET(`${V1}/projects/{project_id}`, { params: { path: { project_id } }, signal })),
    }),
  members: (project_id: string) =>
    queryOptions({
      queryKey: ['members', project_id],
      queryFn: ({ signal }) =>
        take(api.GET(`${V1}/projects/{project_id}/members`, { params: { path: { project_id } }, signal })),
    }),
  userSearch: (q: string) =>
    queryOptions({
      queryKey: ['user-search', q],
      queryFn: ({ signal }) => take(api.GET(`${V1}/users/search`, { params: { query: { q, limit: 20 } }, signal })),
    }),
  harnesses: (project_id: string) =>
    queryOptions({
      queryKey: ['harnesses', project_id],
      queryFn: ({ signal }) =>
        take(api.GET(`${V1}/projects/{project_id}/harnesses`, { params: { path: { project_id } }, signal })),
      refetchInterval: ({ state }) => pollFor(state.data ?? []),
    }),
  harness: (harness_id: string) =>
    queryOptions({
      queryKey: ['harness', harness_id],
      queryFn: ({ signal }) => take(api.GET(`${V1}/harnesses/{harness_id}`, { params: { path: { harness_id } }, signal })),
      refetchInterval: ({ state }) => pollFor(state.data ? [state.data] : []),
    }),
  /** A page at a time, the newest first. */
  timeline: (harness_id: string) =>
    infiniteQueryOptions({
      queryKey: ['timeline', harness_id],
      queryFn: ({ pageParam, signal }) =>
        take(
          api.GET(`${V1}/harnesses/{harness_id}/timeline`, {
            params: { path: { harness_id }, query: { before: pageParam, limit: TIMELINE_PAGE } },
            signal,
          }),
        ),
      initialPageParam: null as number | null,
      getNextPageParam: ({ before }) => before,
    }),
  savings: () =>
    queryOptions({ queryKey: ['savings'], queryFn: ({ signal }) => take(api.GET(`${V1}/admin/savings`, { signal })) }),
  harnessLog: (harness_id: string, lines: number) =>
    queryOptions({
      queryKey: ['harness-log', harness_id, lines],
      queryFn: ({ signal }) =>
        take(api.GET(`${V1}/harnesses/{harness_id}/log`, { params: { path: { harness_id }, query: { lines } }, signal })),
      staleTime: 0,
    }),
  sessions: (harness_id: string) =>
    queryOptions({
      queryKey: ['sessions', harness_id],
      queryFn: ({ signal }) =>
        take(api.GET(`${V1}/harnesses/{harness_id}/sessions`, { params: { path: { harness_id } }, signal })),
    }),
  session: (session_id: string) =>
    queryOptions({
      queryKey: ['session', session_id],
      queryFn: ({ signal }) => take(api.GET(`${V1}/sessions/{session_id}`, { params: { path: { session_id } }, signal })),
    }),
  files: (project_id: string, path: string) =>
    queryOptions({
      queryKey: ['files', project_id, path],
      queryFn: ({ signal }) =>
        take(api.GET(`${V1}/projects/{project_id}/files/list`, { params: { path: { project_id }, query: { path } }, signal })),
      ...patient(),
      staleTime: FILES_STALE_MS,
    }),
  file: (project_id: string, path: string) =>
    queryOptions({
      queryKey: ['file', project_id, path],
      queryFn: ({ signal }) =>
        take(api.GET(`${V1}/projects/{project_id}/files/read`, { params: { path: { project_id }, query: { path } }, signal })),
      ...patient(),
      staleTime: FILES_STALE_MS,
    }),
  skills: () =>
    queryOptions({
      queryKey: ['skills'],
      queryFn: ({ signal }) => take(api.GET(`${V1}/skills/catalog`, { signal })),
      ...patient(),
    }),
  skillFiles: (path: string) =>
    queryOptions({
      queryKey: ['skill-files', path],
      queryFn: ({ signal }) => take(api.GET(`${V1}/skills/list`, { params: { query: { path } }, signal })),
      ...patient(),
    }),
  skillFile: (path: string) =>
    queryOptions({
      queryKey: ['skill-file', path],
      queryFn: ({ signal }) => take(api.GET(`${V1}/skills/read`, { params: { query: { path } }, signal })),
      ...patient(),
    }),
  deletions: () =>
    queryOptions({
      queryKey: ['deletions'],
      queryFn: ({ signal }) => take(api.GET(`${V1}/deletions`, { signal })),
      refetchInterval: ({ state }) => (state.data?.some(isMoving) ? STARTING_POLL_MS : MINUTE_MS),
    }),
  adminUsers: () =>
    queryOptions({ queryKey: ['admin-users'], queryFn: ({ signal }) => take(api.GET(`${V1}/admin/users`, { signal })) }),
}

/** Past its grace a deletion goes on by itself, and nothing tells of its steps. */
const isMoving = ({ phase, due_at }: Deletion) =>
  phase === 'deleting' || phase === 'stuck' || (phase === 'grace' && Date.parse(due_at) <= Date.now())

/** Sandboxes on their way are looked at again; the feed tells of everything else. */
function pollFor(harnesses: Harness[]): number | false {
  const starting = harnesses.filter((h) => h.sandbox_status === 'starting')
  if (starting.length === 0) return false
  return starting.every((h) => h.waiting !== null) ? WAITING_POLL_MS : STARTING_POLL_MS
}
