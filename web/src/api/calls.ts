/** Every call that changes something. Reads are in `queries.ts`. */
import { request } from './client'
import type {
  AcceptedPrompt,
  AdminUser,
  Answer,
  Harness,
  Member,
  NewHarness,
  Project,
  Session,
  User,
} from './types'

const e = encodeURIComponent

export const signIn = (username: string, password: string) =>
  request<{ token: string; user: User }>('POST', '/auth/login', {
    body: { username, password },
    stayOn401: true,
  })
export const signOut = () => request<void>('POST', '/auth/logout', { stayOn401: true })
export const changePassword = (old_password: string, new_password: string) =>
  request<void>('POST', '/auth/change-password', { body: { old_password, new_password } })

export const createProject = (project_name: string | null) =>
  request<Project>('POST', '/projects', { body: { project_name } })
export const renameProject = (id: string, project_name: string) =>
  request<Project>('PATCH', `/projects/${e(id)}`, { body: { project_name } })
export const deleteProject = (id: string) => request<void>('DELETE', `/projects/${e(id)}`)

export const addMember = (projectId: string, username: string) =>
  request<Member>('POST', `/projects/${e(projectId)}/members`, { body: { username } })
export const removeMember = (projectId: string, userId: string) =>
  request<void>('DELETE', `/projects/${e(projectId)}/members/${e(userId)}`)

export const createHarness = (projectId: string, harness: NewHarness) =>
  request<Harness>('POST', `/projects/${e(projectId)}/harnesses`, { body: harness })
export const renameHarness = (id: string, harness_name: string) =>
  request<Harness>('PATCH', `/harnesses/${e(id)}`, { body: { harness_name } })
export const deleteHarness = (id: string) => request<void>('DELETE', `/harnesses/${e(id)}`)
export const startSandbox = (id: string) => request<void>('POST', `/harnesses/${e(id)}/sandbox`)
export const stopSandbox = (id: string) => request<void>('DELETE', `/harnesses/${e(id)}/sandbox`)

export const createSession = (harnessId: string, theme: 'light' | 'dark') =>
  request<Session>('POST', `/harnesses/${e(harnessId)}/sessions`, { body: { theme } })
export const renameSession = (id: string, title: string) =>
  request<Session>('PATCH', `/sessions/${e(id)}`, { body: { title } })
export const deleteSession = (id: string) => request<void>('DELETE', `/sessions/${e(id)}`)

/** Safe to repeat with the same `key`: the server then answers with the first turn. */
export const sendPrompt = (sessionId: string, text: string, key: string) =>
  request<AcceptedPrompt>('POST', `/sessions/${e(sessionId)}/prompts`, {
    body: { text },
    headers: { 'Idempotency-Key': key },
  })
export const removePrompt = (sessionId: string, turnId: string) =>
  request<void>('DELETE', `/sessions/${e(sessionId)}/prompts/${e(turnId)}`)
export const abortTurn = (sessionId: string) =>
  request<void>('POST', `/sessions/${e(sessionId)}/abort`)
export const answerQuestion = (sessionId: string, questionId: string, answers: Answer[]) =>
  request<void>('POST', `/sessions/${e(sessionId)}/answer`, { body: { questionId, answers } })

export const deleteFile = (projectId: string, path: string) =>
  request<void>('DELETE', `/projects/${e(projectId)}/files/delete`, { query: { path } })
export const renameFile = (projectId: string, from: string, to: string) =>
  request<void>('POST', `/projects/${e(projectId)}/files/rename`, { query: { from, to } })
export const moveFile = (projectId: string, from: string, to: string) =>
  request<void>('POST', `/projects/${e(projectId)}/files/move`, { query: { from, to } })
export const makeFolder = (projectId: string, path: string, name: string) =>
  request<void>('POST', `/projects/${e(projectId)}/files/mkdir`, { query: { path, name } })

export const deleteSkill = (slug: string) =>
  request<void>('DELETE', '/skills/delete', { query: { path: slug } })

export const createUser = (username: string, password: string, is_admin: boolean) =>
  request<AdminUser>('POST', '/admin/users', { body: { username, password, is_admin } })
export const changeUser = (id: string, change: { password?: string; is_admin?: boolean }) =>
  request<AdminUser>('PATCH', `/admin/users/${e(id)}`, { body: change })
export const deleteUser = (id: string) => request<void>('DELETE', `/admin/users/${e(id)}`)
