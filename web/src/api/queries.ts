/** Every read, as query options with one key per object. `feed.ts` invalidates by these keys. */
import { queryOptions } from '@tanstack/react-query'
import { request } from './client'
import type {
  AdminUser,
  Entry,
  FileText,
  Harness,
  Member,
  Model,
  Project,
  Session,
  Site,
  Skill,
  User,
  UserMatch,
} from './types'

const e = encodeURIComponent
/** A sandbox that starts is looked at this often beside the feed, so that a lost frame costs little. */
const STARTING_POLL_MS = 2_000

export const queries = {
  me: () =>
    queryOptions({ queryKey: ['me'], queryFn: ({ signal }) => request<User>('GET', '/auth/me', { signal }), staleTime: 60_000 }),
  site: () =>
    queryOptions({ queryKey: ['site'], queryFn: ({ signal }) => request<Site>('GET', '/site', { signal }), staleTime: 300_000 }),
  models: () =>
    queryOptions({ queryKey: ['models'], queryFn: ({ signal }) => request<Model[]>('GET', '/models', { signal }), staleTime: 300_000 }),
  projects: () =>
    queryOptions({ queryKey: ['projects'], queryFn: ({ signal }) => request<Project[]>('GET', '/projects', { signal }) }),
  project: (id: string) =>
    queryOptions({ queryKey: ['project', id], queryFn: ({ signal }) => request<Project>('GET', `/projects/${e(id)}`, { signal }) }),
  members: (projectId: string) =>
    queryOptions({
      queryKey: ['members', projectId],
      queryFn: ({ signal }) => request<Member[]>('GET', `/projects/${e(projectId)}/members`, { signal }),
    }),
  userSearch: (q: string) =>
    queryOptions({
      queryKey: ['user-search', q],
      queryFn: ({ signal }) => request<UserMatch[]>('GET', '/users/search', { query: { q, limit: 20 }, signal }),
    }),
  harnesses: (projectId: string) =>
    queryOptions({
      queryKey: ['harnesses', projectId],
      queryFn: ({ signal }) => request<Harness[]>('GET', `/projects/${e(projectId)}/harnesses`, { signal }),
      refetchInterval: ({ state }) =>
        state.data?.some((h) => h.sandbox_status === 'starting') ? STARTING_POLL_MS : false,
    }),
  harness: (id: string) =>
    queryOptions({
      queryKey: ['harness', id],
      queryFn: ({ signal }) => request<Harness>('GET', `/harnesses/${e(id)}`, { signal }),
      refetchInterval: ({ state }) => (state.data?.sandbox_status === 'starting' ? STARTING_POLL_MS : false),
    }),
  harnessLog: (id: string, lines: number) =>
    queryOptions({
      queryKey: ['harness-log', id, lines],
      queryFn: ({ signal }) => request<{ text: string }>('GET', `/harnesses/${e(id)}/log`, { query: { lines }, signal }),
      staleTime: 0,
    }),
  sessions: (harnessId: string) =>
    queryOptions({
      queryKey: ['sessions', harnessId],
      queryFn: ({ signal }) => request<Session[]>('GET', `/harnesses/${e(harnessId)}/sessions`, { signal }),
    }),
  session: (id: string) =>
    queryOptions({ queryKey: ['session', id], queryFn: ({ signal }) => request<Session>('GET', `/sessions/${e(id)}`, { signal }) }),
  files: (projectId: string, path: string) =>
    queryOptions({
      queryKey: ['files', projectId, path],
      queryFn: ({ signal }) => request<Entry[]>('GET', `/projects/${e(projectId)}/files/list`, { query: { path }, signal }),
      staleTime: 2_000,
    }),
  file: (projectId: string, path: string) =>
    queryOptions({
      queryKey: ['file', projectId, path],
      queryFn: ({ signal }) => request<FileText>('GET', `/projects/${e(projectId)}/files/read`, { query: { path }, signal }),
      staleTime: 2_000,
    }),
  skills: () =>
    queryOptions({ queryKey: ['skills'], queryFn: ({ signal }) => request<Skill[]>('GET', '/skills/catalog', { signal }) }),
  skillFiles: (path: string) =>
    queryOptions({
      queryKey: ['skill-files', path],
      queryFn: ({ signal }) => request<Entry[]>('GET', '/skills/list', { query: { path }, signal }),
    }),
  skillFile: (path: string) =>
    queryOptions({
      queryKey: ['skill-file', path],
      queryFn: ({ signal }) => request<FileText>('GET', '/skills/read', { query: { path }, signal }),
    }),
  adminUsers: () =>
    queryOptions({ queryKey: ['admin-users'], queryFn: ({ signal }) => request<AdminUser[]>('GET', '/admin/users', { signal }) }),
}
