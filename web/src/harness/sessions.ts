/** What one does with sessions, from wherever one is: make, rename, delete, export. */
import { useComputedColorScheme } from '@mantine/core'
import { useNavigate } from '@tanstack/react-router'
import { createSession, deleteSession, renameSession } from '../api/calls'
import { address } from '../api/client'
import { queryClient } from '../api/link'
import { queries } from '../api/queries'
import type { Session } from '../api/types'
import { sessionTitle } from '../shell/names'
import { closeTab } from '../shell/tabs'
import { askName, confirmDeletion } from '../ui/dialogs'
import { attempt, toastDone } from '../ui/toast'

export function useNewSession() {
  const navigate = useNavigate()
  const theme = useComputedColorScheme('dark')
  return (project: string, harnessId: string) =>
    attempt(async () => {
      const session = await createSession(harnessId, theme)
      queryClient.setQueryData(queries.session(session.session_id).queryKey, session)
      void queryClient.invalidateQueries({ queryKey: ['sessions', harnessId] })
      await navigate({ to: '/p/$project/s/$session', params: { project, session: session.session_id } })
    }, 'Could not start a session')
}

export function askSessionTitle(session: Session) {
  askName({
    title: 'Rename session',
    label: 'Title',
    initial: session.title ?? '',
    submit: 'Rename',
    save: async (title) => {
      const changed = await renameSession(session.session_id, title)
      queryClient.setQueryData(queries.session(session.session_id).queryKey, changed)
      void queryClient.invalidateQueries({ queryKey: ['sessions', session.harness_id] })
    },
  })
}

/** `left` is told when the session is gone, so that its page can be left. */
export function confirmSessionDeletion(project: string, session: Session, left?: () => void) {
  confirmDeletion({
    title: 'Delete session?',
    text: `“${sessionTitle(session)}” is deleted for everyone in the project.`,
    dies: ['its whole conversation', 'the turn that runs and the prompts that wait, if any'],
    submit: 'Delete session',
    run: async () => {
      await deleteSession(session.session_id)
      closeTab({ kind: 'session', project, id: session.session_id })
      left?.()
      void queryClient.invalidateQueries({ queryKey: ['sessions', session.harness_id] })
      toastDone('Session deleted')
    },
  })
}

export const exportAddress = (sessionId: string, format: 'md' | 'json') =>
  address(`/sessions/${encodeURIComponent(sessionId)}/export`, { format })
