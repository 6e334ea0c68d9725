/** Uploads with their progress, beside whatever page is open; a small store of its own. */
import { useSyncExternalStore } from 'react'
import { address, ApiError, refusal, signedOut } from '../api/client'
import { isStarting, patiently } from '../api/patience'

export interface Upload {
  id: number
  name: string
  size: number
  sent: number
  state: 'waiting' | 'sending' | 'done' | 'failed'
  /** Why it failed, or what it waits for. */
  problem: string | null
  /** Kept until it is through, so that it can be sent again. */
  parcel: Parcel
  again: Again
}

/** Takes in once more what failed. */
type Again = (parcel: Parcel) => Promise<void>

/** A file and where it goes. */
export interface Parcel {
  file: File
  folder: string
}

const AT_ONCE = 3
const SHOWN_MS = 5_000

let uploads: Upload[] = []
let lastId = 0
const listeners = new Set<() => void>()

export const useUploads = () => useSyncExternalStore(subscribe, () => uploads)

function clearDone() {
  set(uploads.filter((u) => u.state !== 'done'))
}

export function clearUploads() {
  set(uploads.filter((u) => u.state === 'waiting' || u.state === 'sending'))
}

/** Show files as waiting to be sent; what is to happen with them may have to be found out first. */
export function queueUploads(parcels: Parcel[], again: Again): Upload[] {
  const queued = parcels.map((parcel): Upload => {
    const { name, size } = parcel.file
    return { id: ++lastId, name, size, sent: 0, state: 'waiting', problem: null, parcel, again }
  })
  set([...uploads, ...queued])
  return queued
}

/** Forget files that are not to be sent. */
export function dropUploads(dropped: Upload[]) {
  const ids = new Set(dropped.map(({ id }) => id))
  set(uploads.filter((u) => !ids.has(u.id)))
}

/** Take in once more one that failed. */
export function retryUpload(upload: Upload): Promise<void> {
  dropUploads([upload])
  return upload.again(upload.parcel)
}

/** Say that files were not sent, and why. */
export function failUploads(failed: Upload[], error: unknown) {
  const problem = error instanceof Error ? error.message : 'It was not sent.'
  for (const { id } of failed) change(id, { state: 'failed', problem })
}

/** Send all, a few at once; resolves when the last one is through, failed or not. */
export async function sendUploads(project: string, all: Upload[]): Promise<void> {
  const queue = [...all]
  // Where one has waited in vain, the others need not wait as long again.
  let late: unknown = null
  const work = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      if (late) failUploads([next], late)
      else late = await send(project, next)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  // What went well needs no reading; a failure stays until it is closed.
  if (uploads.every((u) => u.state === 'done')) setTimeout(clearDone, SHOWN_MS)
}

/** The answer is an error that holds for all others too: what would take the files has not started. */
async function send(project: string, upload: Upload): Promise<unknown> {
  const { id, parcel: { file, folder } } = upload
  const url = address(`/projects/${encodeURIComponent(project)}/files/upload`, { path: folder })
  const once = () => {
    change(id, { state: 'sending', problem: null, sent: 0 })
    return post(url, file, (sent) => change(id, { sent }))
  }
  try {
    await patiently(once, (problem) => change(id, { state: 'waiting', problem }))
    change(id, { state: 'done', sent: file.size })
  } catch (error) {
    failUploads([upload], error)
    if (isStarting(error)) return error
  }
  return null
}

/** `fetch` does not tell how much of a body was sent; XMLHttpRequest does. */
export function post(url: string, file: File, progress: (sent: number) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest()
    const body = new FormData()
    body.append('file', file)
    xhr.upload.addEventListener('progress', (event) => progress(Math.min(event.loaded, file.size)))
    xhr.addEventListener('load', () => {
      if (xhr.status < 300) return resolve()
      if (xhr.status === 401) signedOut()
      return reject(failureOf(xhr))
    })
    xhr.addEventListener('error', () => reject(new ApiError(0, 'The connection broke while it was sent.')))
    xhr.open('POST', url)
    xhr.send(body)
  })
}

function failureOf(xhr: XMLHttpRequest): ApiError {
  try {
    return refusal(xhr.status, JSON.parse(xhr.responseText))
  } catch {
    return refusal(xhr.status, null)
  }
}

function change(id: number, what: Partial<Upload>) {
  set(uploads.map((u) => (u.id === id ? { ...u, ...what } : u)))
}

function set(next: Upload[]) {
  uploads = next
  for (const tell of listeners) tell()
}

function subscribe(listener: () => void) {
  listeners.add(listener)
  return () => void listeners.delete(listener)
}
