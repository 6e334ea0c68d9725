/** Toasts: what was done, and what failed, in the server's own words. */
import { notifications } from '@mantine/notifications'
import { createElement } from 'react'
import { patiently } from '../api/patience'
import { UndoLine } from './UndoLine'

/** Long enough to reach it by keyboard; the list of what is being deleted has it for longer. */
const UNDO_MS = 15_000

export function toastDone(message: string) {
  notifications.show({ message, color: 'brand', autoClose: 3_500 })
}

/** What was done, with the way back for as long as the toast stands. */
export function toastUndo(message: string, undo: () => unknown) {
  const id = notifications.show({
    message: createElement(UndoLine, { message, undo: () => {
      notifications.hide(id)
      void undo()
    } }),
    color: 'brand',
    autoClose: UNDO_MS,
    role: 'status',
  })
}

export function toastFailure(error: unknown, title = 'That did not work') {
  const message = error instanceof Error ? error.message : 'Something went wrong. Try again.'
  notifications.show({ title, message, color: 'red', autoClose: 10_000, role: 'alert' })
}

/** Do something; tell the person if it fails. True when it worked. */
export async function attempt(work: () => Promise<unknown>, title?: string): Promise<boolean> {
  try {
    await work()
    return true
  } catch (error) {
    toastFailure(error, title)
    return false
  }
}

const STARTING = 'starting'

/** Do something that may come before what serves it has started; one quiet toast says so meanwhile. */
export async function onceStarted<T>(work: () => Promise<T>): Promise<T> {
  let told = false
  try {
    return await patiently(work, (message) => {
      told = true
      notifications.show({ id: STARTING, message, loading: true, autoClose: false, withCloseButton: false, role: 'status' })
    })
  } finally {
    if (told) notifications.hide(STARTING)
  }
}
