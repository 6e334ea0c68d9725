/** A folder's list: open, upload (button or drop), new folder, rename, move, delete. */
import { Button, FileButton, Group } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { FolderPlus, FolderOpen, RefreshCw, Upload } from 'lucide-react'
import { useRef, useState, type DragEvent } from 'react'
import { queries } from '../api/queries'
import { EmptyState } from '../ui/EmptyState'
import { IconAction } from '../ui/IconAction'
import { Loaded } from '../ui/Loaded'
import { askFolder, receive, refreshFiles } from './changes'
import { DRAGGED } from './dragging'
import { readDropped } from './dropped'
import { EntryRow } from './EntryRow'
import { PathLine } from './PathLine'
import css from './files.module.css'

const LISTED_AT_MOST = 2_000

export function Folder({ project, path }: { project: string; path: string }) {
  const entries = useQuery(queries.files(project, path))
  const { over, handlers } = useFileDrop(project, path)
  const reset = useRef<() => void>(null)
  const pick = (files: File[]) => {
    void receive(project, path, { parcels: files.map((file) => ({ file, folder: path })), folders: [] })
    reset.current?.()
  }
  return (
    <div className={css.folder} data-over={over || undefined} {...handlers}>
      <div className={css.bar}>
        <PathLine project={project} path={path} />
        <Group gap={6} wrap="nowrap">
          <IconAction label="Refresh" icon={RefreshCw} size={30} onClick={() => void refreshFiles(project)} />
          <Button variant="default" leftSection={<FolderPlus size={14} />} onClick={() => askFolder(project, path)}>
            New folder
          </Button>
          <FileButton onChange={pick} multiple resetRef={reset} inputProps={{ 'aria-label': 'Files to upload' }}>
            {(props) => (
              <Button {...props} leftSection={<Upload size={14} />}>
                Upload
              </Button>
            )}
          </FileButton>
        </Group>
      </div>
      <div className={css.scroll}>
        <Loaded query={entries} lines={6}>
          {(list) =>
            list.length === 0 ? (
              <EmptyState icon={FolderOpen} title="This folder is empty" text="Drop files or folders here, or let the agent write some." />
            ) : (
              <>
                <table className={css.table}>
                  <caption className={css.caption}>Files in {path}</caption>
                  <thead>
                    <tr>
                      <th scope="col">Name</th>
                      <th scope="col" className={css.num}>
                        Size
                      </th>
                      <th scope="col" className={css.when}>
                        Changed
                      </th>
                      <th scope="col">
                        <span className={css.caption}>Actions</span>
                      </th>
                    </tr>
                  </thead>
                  <tbody>
                    {list.map((entry) => (
                      <EntryRow key={entry.name} project={project} folder={path} entry={entry} />
                    ))}
                  </tbody>
                </table>
                {list.length >= LISTED_AT_MOST && <p className={css.note}>Only the first {LISTED_AT_MOST} entries are listed.</p>}
              </>
            )
          }
        </Loaded>
      </div>
    </div>
  )
}

/** Files dropped from the desktop land in this folder. */
function useFileDrop(project: string, path: string) {
  const [over, setOver] = useState(false)
  const fromDesktop = (event: DragEvent) => event.dataTransfer.types.includes('Files') && !event.dataTransfer.types.includes(DRAGGED)
  const handlers = {
    onDragOver: (event: DragEvent) => {
      if (!fromDesktop(event)) return
      event.preventDefault()
      setOver(true)
    },
    onDragLeave: (event: DragEvent) => {
      if (!event.currentTarget.contains(event.relatedTarget as Node | null)) setOver(false)
    },
    onDrop: (event: DragEvent) => {
      if (!fromDesktop(event)) return
      event.preventDefault()
      setOver(false)
      void readDropped(event.dataTransfer, path).then((dropped) => receive(project, path, dropped))
    },
  }
  return { over, handlers }
}
