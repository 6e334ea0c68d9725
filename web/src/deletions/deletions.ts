/** What is being deleted, in words, and what a person can do about it. */
import { endDeletionGrace, forceDeletion, retryDeletion, undoDeletion } from '../api/calls'
import { queryClient } from '../api/link'
import { queries } from '../api/queries'
import type { Deletion } from '../api/types'
import { askName } from '../ui/dialogs'
import { lasting } from '../ui/time'
import { attempt, toastDone, toastUndo } from '../ui/toast'

export const isOpen = ({ phase }: Deletion) => phase !== 'done' && phase !== 'undone'

/** How it stands, as the end of a sentence about it. */
export function standing(deletion: Deletion, now: number): string {
  switch (deletion.phase) {
    case 'grace':
      return Date.parse(deletion.due_at) <= now ? 'goes now' : `goes in ${lasting(Math.max(1, (Date.parse(deletion.due_at) - now) / 1_000))}`
    case 'stuck':
      return 'is stuck'
    case 'deleting':
      return deletion.step ?? 'is being deleted'
    case 'done':
      return 'was deleted'
    case 'undone':
      return 'was brought back'
  }
}

/** Whether a deletion of this kind can be undone here, and for how long, as a sentence. */
export function undoable(kind: Deletion['kind']): string {
  const seconds = queryClient.getQueryData(queries.site().queryKey)?.deletion_grace_seconds[kind]
  if (seconds === undefined) return ''
  return seconds > 0 ? `This can be undone for ${lasting(seconds)}.` : 'This cannot be undone.'
}

/** Tell that something was deleted, and give the way back where there is one. */
export async function toldDeleted(objectId: string, message: string) {
  void queryClient.invalidateQueries({ queryKey: queries.deletions().queryKey })
  const found = await find(objectId).catch(() => undefined)
  if (found?.may_undo) toastUndo(message, () => undo(found))
  else toastDone(message)
}

export async function undo(deletion: Deletion) {
  if (!(await attempt(() => undoDeletion(deletion.deletion_id), `Could not bring ${deletion.name} back`))) return
  await queryClient.invalidateQueries()
  toastDone(`${deletion.name} is back`)
}

export async function hurry(deletion: Deletion) {
  if (await attempt(() => endDeletionGrace(deletion.deletion_id))) await look()
}

export async function retry(deletion: Deletion) {
  if (!(await attempt(() => retryDeletion(deletion.deletion_id)))) return
  toastDone(`${deletion.name} is tried again`)
  await look()
}

export function force(deletion: Deletion) {
  askName({
    title: `Skip what holds up ${deletion.name}?`,
    label: 'Reason',
    hint: 'The step that fails is left out: what it should have deleted may be left behind. Your name and the reason are kept.',
    submit: 'Skip the step',
    missing: 'Enter a reason',
    save: async (reason) => {
      await forceDeletion(deletion.deletion_id, reason)
      await look()
    },
  })
}

const look = () => queryClient.invalidateQueries({ queryKey: queries.deletions().queryKey })

async function find(objectId: string): Promise<Deletion | undefined> {
  const list = await queryClient.fetchQuery({ ...queries.deletions(), staleTime: 0 })
  return list.find((one) => one.object_id === objectId && isOpen(one))
}
