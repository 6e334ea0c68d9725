/** Changes to the workspace, each of which asks the folder it touched again. */
import { deleteFile, makeFolder, moveFile, renameFile } from '../api/calls'
import { address, ApiError } from '../api/client'
import { queryClient } from '../api/link'
import { queries } from '../api/queries'
import type { Entry } from '../api/types'
import { closeTab } from '../shell/tabs'
import { askName, confirmDeletion } from '../ui/dialogs'
import { attempt, onceStarted, toastDone, toastFailure } from '../ui/toast'
import { modals } from '@mantine/modals'
import type { Dropped } from './dropped'
import { nameProblem, parentOf } from './paths'
import { dropUploads, failUploads, queueUploads, sendUploads, type Parcel } from './uploads'

export const downloadAddress = (project: string, path: string) =>
  address(`/projects/${encodeURIComponent(project)}/files/download`, { path })

export const rawAddress = (project: string, path: string) =>
  address(`/projects/${encodeURIComponent(project)}/files/raw`, { path })

/** By segment, so that a page's relative links find their files. */
export const rawPathAddress = (project: string, path: string) =>
  address(`/projects/${encodeURIComponent(project)}/files/raw-path/${path.split('/').filter(Boolean).map(encodeURIComponent).join('/')}`)

export function refreshFiles(project: string) {
  return Promise.all([
    queryClient.invalidateQueries({ queryKey: ['files', project] }),
    queryClient.invalidateQueries({ queryKey: ['file', project] }),
  ])
}

export function askFolder(project: string, folder: string) {
  askName({
    title: 'New folder',
    label: 'Folder name',
    submit: 'Create folder',
    check: nameProblem,
    save: async (name) => {
      await onceStarted(() => makeFolder(project, folder, name))
      await refreshFiles(project)
    },
  })
}

export function askRename(project: string, path: string, name: string) {
  askName({
    title: `Rename ${name}`,
    label: 'New name',
    initial: name,
    submit: 'Rename',
    check: nameProblem,
    save: async (next) => {
      if (next === name) return
      await onceStarted(() => renameFile(project, path, next))
      closeTab({ kind: 'file', project, id: path.slice(1) })
      await refreshFiles(project)
    },
  })
}

export const move = (project: string, path: string, folder: string) =>
  attempt(async () => {
    if (parentOf(path) === folder) return
    await onceStarted(() => moveFile(project, path, folder))
    closeTab({ kind: 'file', project, id: path.slice(1) })
    await refreshFiles(project)
    toastDone(`Moved to ${folder}`)
  }, 'Could not move it')

export function confirmFileDeletion(project: string, path: string, entry: Entry, left?: () => void) {
  confirmDeletion({
    title: entry.type === 'dir' ? 'Delete folder?' : 'Delete file?',
    text: (
      entry.type === 'dir' ? `The folder ${path} and everything in it is deleted, for everyone.` : `${path} is deleted, for everyone.`
    ),
    run: async () => {
      await onceStarted(() => deleteFile(project, path))
      closeTab({ kind: 'file', project, id: path.slice(1) })
      left?.()
      await refreshFiles(project)
      toastDone(`Deleted ${entry.name}`)
    },
  })
}

/** Make the folders, then send the files; asks first when some would replace what is there. */
export async function receive(project: string, folder: string, { parcels, folders }: Dropped): Promise<void> {
  const queued = queueUploads(parcels, (parcel) => receive(project, folder, { parcels: [parcel], folders }))
  try {
    const clashes = await clashesOf(project, folder, parcels)
    if (clashes.length > 0 && !(await mayReplace(clashes))) return dropUploads(queued)
    for (const { parent, name } of folders) await makeIfMissing(project, parent, name)
  } catch (error) {
    failUploads(queued, error)
    if (queued.length === 0) toastFailure(error, 'Could not upload')
    return undefined
  }
  await sendUploads(project, queued)
  await refreshFiles(project)
  return undefined
}

async function clashesOf(project: string, folder: string, parcels: Parcel[]): Promise<string[]> {
  const here = await queryClient.fetchQuery(queries.files(project, folder))
  const names = new Set(here.filter((e) => e.type !== 'dir').map((e) => e.name))
  return parcels.filter((p) => p.folder === folder && names.has(p.file.name)).map((p) => p.file.name)
}

function mayReplace(clashes: string[]): Promise<boolean> {
  return new Promise((resolve) => {
    modals.openConfirmModal({
      title: clashes.length === 1 ? 'Replace a file?' : `Replace ${clashes.length} files?`,
      children: `Already here: ${clashes.slice(0, 8).join(', ')}${clashes.length > 8 ? ', …' : ''}`,
      labels: { confirm: 'Replace', cancel: 'Cancel' },
      onConfirm: () => resolve(true),
      // However it is closed; after the confirmation this says nothing more.
      onClose: () => resolve(false),
    })
  })
}

async function makeIfMissing(project: string, parent: string, name: string) {
  try {
    await onceStarted(() => makeFolder(project, parent, name))
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 409)) throw error
  }
}
