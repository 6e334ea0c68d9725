/** Every call that changes something. Reads are in `queries.ts`. */
import { api, take } from './client'
import type { Answer, NewHarness } from './types'

const V1 = '/api/v1'

export const signIn = (username: string, password: string) =>
  take(api.POST(`${V1}/auth/login`, { body: { username, password } }), true)
export const signOut = () => take(api.POST(`${V1}/auth/logout`), true)
export const changePassword = (old_password: string, new_password: string) =>
  take(api.POST(`${V1}/auth/change-password`, { body: { old_password, new_password } }))

export const createProject = (project_name: string | null) =>
  take(api.POST(`${V1}/projects`, { body: { project_name } }))
export const renameProject = (project_id: string, project_name: string) =>
  take(api.PATCH(`${V1}/projects/{project_id}`, { params: { path: { project_id } }, body: { project_name } }))
export const deleteProject = (project_id: string) =>
  take(api.DELETE(`${V1}/projects/{project_id}`, { params: { path: { project_id } } }))

export const addMember = (project_id: string, username: string) =>
  take(api.POST(`${V1}/projects/{project_id}/members`, { params: { path: { project_id } }, body: { username } }))
export const removeMember = (project_id: string, user_id: string) =>
  take(api.DELETE(`${V1}/projects/{project_id}/members/{user_id}`, { params: { path: { project_id, user_id } } }))

export const createHarness = (project_id: string, body: NewHarness) =>
  take(api.POST(`${V1}/projects/{project_id}/harnesses`, { params: { path: { project_id } }, body }))
export const renameHarness = (harness_id: string, harness_name: string) =>
  take(api.PATCH(`${V1}/harnesses/{harness_id}`, { params: { path: { harness_id } }, body: { harness_name } }))
/** `null`: as the site says; 0 is never. */
export const setIdleTimeout = (harness_id: string, idle_timeout_seconds: number | null) =>
  take(api.PATCH(`${V1}/harnesses/{harness_id}`, { params: { path: { harness_id } }, body: { idle_timeout_seconds } }))
export const keepAwake = (harness_id: string, minutes: number) =>
  take(api.POST(`${V1}/harnesses/{harness_id}/lease`, { params: { path: { harness_id } }, body: { minutes } }))
export const letSleep = (harness_id: string) =>
  take(api.DELETE(`${V1}/harnesses/{harness_id}/lease`, { params: { path: { harness_id } } }))
export const deleteHarness = (harness_id: string) =>
  take(api.DELETE(`${V1}/harnesses/{harness_id}`, { params: { path: { harness_id } } }))
export const startSandbox = (harness_id: string) =>
  take(api.POST(`${V1}/harnesses/{harness_id}/sandbox`, { params: { path: { harness_id } } }))
export const stopSandbox = (harness_id: string) =>
  take(api.DELETE(`${V1}/harnesses/{harness_id}/sandbox`, { params: { path: { harness_id } } }))

export const createSession = (harness_id: string, theme: 'light' | 'dark') =>
  take(api.POST(`${V1}/harnesses/{harness_id}/sessions`, { params: { path: { harness_id } }, body: { theme } }))
export const renameSession = (session_id: string, title: string) =>
  take(api.PATCH(`${V1}/sessions/{session_id}`, { params: { path: { session_id } }, body: { title } }))
export const deleteSession = (session_id: string) =>
  take(api.DELETE(`${V1}/sessions/{session_id}`, { params: { path: { session_id } } }))

/** Safe to repeat with the same `key`: the server then answers with the first turn. */
export const sendPrompt = (session_id: string, text: string, key: string) =>
  take(
    api.POST(`${V1}/sessions/{session_id}/prompts`, {
      params: { path: { session_id }, header: { 'idempotency-key': key } },
      body: { text },
    }),
  )
/** One event whole: of a large one the socket brings only the beginning. */
export const readEvent = (session_id: string, seq: number) =>
  take(
    api.GET(`${V1}/sessions/{session_id}/events/{seq}`, {
      params: { path: { session_id, seq: String(seq) } },
    }),
  )
export const removePrompt = (session_id: string, turn_id: string) =>
  take(api.DELETE(`${V1}/sessions/{session_id}/prompts/{turn_id}`, { params: { path: { session_id, turn_id } } }))
export const abortTurn = (session_id: string) =>
  take(api.POST(`${V1}/sessions/{session_id}/abort`, { params: { path: { session_id } } }))
export const answerQuestion = (session_id: string, questionId: string, answers: Answer[]) =>
  take(
    api.POST(`${V1}/sessions/{session_id}/answer`, { params: { path: { session_id } }, body: { questionId, answers } }),
  )

export const deleteFile = (project_id: string, path: string) =>
  take(api.DELETE(`${V1}/projects/{project_id}/files/delete`, { params: { path: { project_id }, query: { path } } }))
export const renameFile = (project_id: string, from: string, to: string) =>
  take(api.POST(`${V1}/projects/{project_id}/files/rename`, { params: { path: { project_id }, query: { from, to } } }))
export const moveFile = (project_id: string, from: string, to: string) =>
  take(api.POST(`${V1}/projects/{project_id}/files/move`, { params: { path: { project_id }, query: { from, to } } }))
export const makeFolder = (project_id: string, path: string, name: string) =>
  take(api.POST(`${V1}/projects/{project_id}/files/mkdir`, { params: { path: { project_id }, query: { path, name } } }))

export const deleteSkill = (path: string) =>
  take(api.DELETE(`${V1}/skills/delete`, { params: { query: { path } } }))

export const createUser = (username: string, password: string, is_admin: boolean) =>
  take(api.POST(`${V1}/admin/users`, { body: { username, password, is_admin } }))
export const changeUser = (user_id: string, body: { password?: string; is_admin?: boolean }) =>
  take(api.PATCH(`${V1}/admin/users/{user_id}`, { params: { path: { user_id } }, body }))
/** With an heir the projects become theirs; without one they are deleted too. */
export const deleteUser = (user_id: string, heir: string | null) =>
  take(api.DELETE(`${V1}/admin/users/{user_id}`, { params: { path: { user_id }, query: heir ? { heir } : {} } }))

export const undoDeletion = (deletion_id: string) =>
  take(api.POST(`${V1}/deletions/{deletion_id}/undo`, { params: { path: { deletion_id } } }))
export const endDeletionGrace = (deletion_id: string) =>
  take(api.POST(`${V1}/deletions/{deletion_id}/delete-now`, { params: { path: { deletion_id } } }))
export const retryDeletion = (deletion_id: string) =>
  take(api.POST(`${V1}/deletions/{deletion_id}/retry`, { params: { path: { deletion_id } } }))
export const forceDeletion = (deletion_id: string, reason: string) =>
  take(api.POST(`${V1}/deletions/{deletion_id}/force`, { params: { path: { deletion_id } }, body: { reason } }))

export const addModel = (id: string, isDefault: boolean) =>
  take(api.POST(`${V1}/admin/models`, { body: { id, default: isDefault } }))
export const makeDefaultModel = (id: string) =>
  take(api.PATCH(`${V1}/admin/models`, { params: { query: { id } }, body: { default: true } }))
export const removeModel = (id: string) => take(api.DELETE(`${V1}/admin/models`, { params: { query: { id } } }))
export const resetModels = () => take(api.POST(`${V1}/admin/models/reset`))
