/** What was dropped from the desktop: files, and folders with everything in them. */
import { join } from './paths'
import type { Parcel } from './uploads'

export interface Dropped {
  parcels: Parcel[]
  /** Folders to make first, outer ones before inner ones: their parent and their name. */
  folders: { parent: string; name: string }[]
}

/** Entries must be taken while the drop event lasts, so this reads them before it waits. */
export async function readDropped(transfer: DataTransfer, into: string): Promise<Dropped> {
  const entries = Array.from(transfer.items)
    .map((item) => item.webkitGetAsEntry())
    .filter((entry) => entry !== null)
  const dropped: Dropped = { parcels: [], folders: [] }
  if (entries.length === 0) {
    dropped.parcels = Array.from(transfer.files, (file) => ({ file, folder: into }))
    return dropped
  }
  for (const entry of entries) await collect(entry, into, dropped)
  return dropped
}

async function collect(entry: FileSystemEntry, into: string, dropped: Dropped): Promise<void> {
  if (entry.isFile) {
    dropped.parcels.push({ file: await fileOf(entry as FileSystemFileEntry), folder: into })
    return
  }
  dropped.folders.push({ parent: into, name: entry.name })
  for (const child of await childrenOf(entry as FileSystemDirectoryEntry)) {
    await collect(child, join(into, entry.name), dropped)
  }
}

const fileOf = (entry: FileSystemFileEntry) => new Promise<File>((resolve, reject) => entry.file(resolve, reject))

/** A reader gives at most 100 entries a call, and none when it is through. */
async function childrenOf(entry: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = entry.createReader()
  const all: FileSystemEntry[] = []
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject))
    if (some.length === 0) return all
    all.push(...some)
  }
}
