/** The workspace: a folder is listed, a file is shown; the address says which. */
import { VisuallyHidden } from '@mantine/core'
import { useDocumentTitle } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useParams } from '@tanstack/react-router'
import { SearchX } from 'lucide-react'
import { queries } from '../api/queries'
import type { Entry } from '../api/types'
import { EmptyState } from '../ui/EmptyState'
import { Loaded } from '../ui/Loaded'
import { FileView } from './FileView'
import { Folder } from './Folder'
import { absolute, nameOf, parentOf } from './paths'
import { PathLine } from './PathLine'
import { UploadList } from './UploadList'
import css from './files.module.css'

export function FilesPage() {
  const { project, _splat = '' } = useParams({ from: '/app/p/$project/files/$' })
  const path = absolute(_splat)
  useDocumentTitle(`${path === '/' ? 'Files' : nameOf(path)} · Cattery`)
  return (
    <div className={css.page}>
      <VisuallyHidden>
        <h1>{path === '/' ? 'Files' : path}</h1>
      </VisuallyHidden>
      {path === '/' ? <Folder key={path} project={project} path={path} /> : <Found project={project} path={path} />}
      <UploadList />
    </div>
  )
}

/** Only its folder's list tells whether a path is a file or a folder. */
function Found({ project, path }: { project: string; path: string }) {
  const siblings = useQuery(queries.files(project, parentOf(path)))
  return (
    <Loaded query={siblings}>
      {(entries) => {
        const entry = entries.find((e) => e.name === nameOf(path))
        if (!entry) return <Missing project={project} path={path} />
        return <Opened key={path} project={project} path={path} entry={entry} />
      }}
    </Loaded>
  )
}

function Opened({ project, path, entry }: { project: string; path: string; entry: Entry }) {
  const link = useQuery({ ...queries.files(project, path), enabled: entry.type === 'link', retry: false })
  const isFolder = entry.type === 'dir' || (entry.type === 'link' && link.data !== undefined)
  if (entry.type === 'link' && link.isPending) return null
  return isFolder ? <Folder project={project} path={path} /> : <FileView project={project} path={path} entry={entry} />
}

function Missing({ project, path }: { project: string; path: string }) {
  return (
    <>
      <div className={css.bar}>
        <PathLine project={project} path={path} />
      </div>
      <EmptyState icon={SearchX} title="Not there" text={`${path} does not exist (any more).`} />
    </>
  )
}
