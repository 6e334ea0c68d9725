/** One file or folder in its folder's list; a row can be dragged onto a folder. */
import { Menu } from '@mantine/core'
import { Link } from '@tanstack/react-router'
import { Download, Ellipsis, FileText, Folder, FolderInput, FolderSymlink, Image, Pencil, Trash2 } from 'lucide-react'
import { useState, type DragEvent } from 'react'
import type { Entry } from '../api/types'
import { Ago } from '../ui/Ago'
import { IconAction } from '../ui/IconAction'
import { bytes } from '../ui/time'
import { askRename, confirmFileDeletion, downloadAddress, move, receive } from './changes'
import { DRAGGED } from './dragging'
import { readDropped } from './dropped'
import { askFolderToMoveTo } from './MoveDialog'
import { join, shapeOf } from './paths'
import css from './files.module.css'

interface Props {
  project: string
  folder: string
  entry: Entry
}

export function EntryRow({ project, folder, entry }: Props) {
  const path = join(folder, entry.name)
  const { over, handlers } = useRowDrop(project, path, entry.type === 'dir')
  return (
    <tr
      className={css.entry}
      data-over={over || undefined}
      draggable
      onDragStart={(event) => event.dataTransfer.setData(DRAGGED, path)}
      {...handlers}
    >
      <td>
        <Link className={css.entryLink} to="/p/$project/files/$" params={{ project, _splat: path.slice(1) }} draggable={false}>
          <EntryIcon entry={entry} />
          <span>{entry.name}</span>
        </Link>
      </td>
      <td className={css.num}>{entry.type === 'dir' ? '' : bytes(entry.size)}</td>
      <td className={css.when}>
        <Ago at={new Date(entry.mtime * 1_000).toISOString()} />
      </td>
      <td className={css.acts}>
        <EntryMenu project={project} path={path} entry={entry} />
      </td>
    </tr>
  )
}

export function EntryIcon({ entry }: { entry: Entry }) {
  if (entry.type === 'dir') return <Folder size={16} className={css.folderIcon} role="img" aria-label="folder" />
  if (entry.type === 'link') return <FolderSymlink size={16} role="img" aria-label="link" />
  if (shapeOf(entry.name) === 'image') return <Image size={16} role="img" aria-label="image" />
  return <FileText size={16} role="img" aria-label="file" />
}

interface MenuProps {
  project: string
  path: string
  entry: Entry
  left?: () => void
}

export function EntryMenu({ project, path, entry, left }: MenuProps) {
  return (
    <Menu position="bottom-end" width={170}>
      <Menu.Target>
        <IconAction label={`Actions for ${entry.name}`} icon={Ellipsis} size={30} />
      </Menu.Target>
      <Menu.Dropdown>
        {entry.type !== 'dir' && (
          <Menu.Item leftSection={<Download size={14} />} component="a" href={downloadAddress(project, path)} download>
            Download
          </Menu.Item>
        )}
        <Menu.Item leftSection={<Pencil size={14} />} onClick={() => askRename(project, path, entry.name)}>
          Rename…
        </Menu.Item>
        <Menu.Item leftSection={<FolderInput size={14} />} onClick={() => askFolderToMoveTo(project, path)}>
          Move…
        </Menu.Item>
        <Menu.Item leftSection={<Trash2 size={14} />} c="var(--app-bad)" onClick={() => confirmFileDeletion(project, path, entry, left)}>
          Delete…
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  )
}

/** A folder's row takes other rows (moves them) and files from the desktop (uploads them). */
function useRowDrop(project: string, path: string, isFolder: boolean) {
  const [over, setOver] = useState(false)
  if (!isFolder) return { over: false, handlers: {} }
  const handlers = {
    onDragOver: (event: DragEvent) => {
      event.preventDefault()
      event.stopPropagation()
      setOver(true)
    },
    onDragLeave: () => setOver(false),
    onDrop: (event: DragEvent) => {
      event.preventDefault()
      event.stopPropagation()
      setOver(false)
      const dragged = event.dataTransfer.getData(DRAGGED)
      if (dragged) {
        if (dragged !== path) void move(project, dragged, path)
      } else {
        void readDropped(event.dataTransfer, path).then((dropped) => receive(project, path, dropped))
      }
    },
  }
  return { over, handlers }
}
