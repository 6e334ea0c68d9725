/** What one does with a harness, from wherever one is: rename, start, stop, delete. */
import { deleteHarness, renameHarness, startSandbox, stopSandbox } from '../api/calls'
import { queryClient } from '../api/link'
import { queries } from '../api/queries'
import type { Harness } from '../api/types'
import { toldDeleted, undoable } from '../deletions/deletions'
import { harnessName } from '../shell/names'
import { closeTab } from '../shell/tabs'
import { askName, confirmDeletion } from '../ui/dialogs'
import { attempt } from '../ui/toast'

export function askHarnessName(harness: Harness) {
  askName({
    title: 'Rename harness',
    label: 'Name',
    initial: harness.harness_name ?? '',
    submit: 'Rename',
    save: async (name) => {
      await renameHarness(harness.harness_id, name)
      await refreshHarness(harness)
    },
  })
}

/** `left` is told when the harness is gone, so that its page can be left. */
export function confirmHarnessDeletion(harness: Harness, left?: () => void) {
  const sessions = queryClient.getQueryData(queries.sessions(harness.harness_id).queryKey)
  const count = sessions?.length
  confirmDeletion({
    title: 'Delete harness?',
    text: (
      <>
        <b>{harnessName(harness)}</b> is deleted for everyone in the project. With it go:
      </>
    ),
    dies: [
      count === undefined ? 'all its sessions and their conversations' : `its ${count === 1 ? 'one session' : `${count} sessions`} and their conversations`,
      'its sandbox and everything that runs in it',
      'its environment variables',
    ],
    outlook: undoable('harness'),
    submit: 'Delete harness',
    run: async () => {
      await deleteHarness(harness.harness_id)
      closeTab({ kind: 'harness', project: harness.project_id, id: harness.harness_id })
      for (const s of sessions ?? []) closeTab({ kind: 'session', project: harness.project_id, id: s.session_id })
      left?.()
      void queryClient.invalidateQueries({ queryKey: ['harnesses', harness.project_id] })
      await toldDeleted(harness.harness_id, `${harnessName(harness)} was deleted`)
    },
  })
}

export const startHarness = (harness: Harness) =>
  attempt(async () => {
    await startSandbox(harness.harness_id)
    await refreshHarness(harness)
  }, 'Could not start the sandbox')

export const stopHarness = (harness: Harness) =>
  attempt(async () => {
    await stopSandbox(harness.harness_id)
    await refreshHarness(harness)
  }, 'Could not stop the sandbox')

export async function refreshHarness(harness: Harness) {
  await Promise.all([
    queryClient.invalidateQueries({ queryKey: ['harness', harness.harness_id] }),
    queryClient.invalidateQueries({ queryKey: ['harnesses', harness.project_id] }),
  ])
}
