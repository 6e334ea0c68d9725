/** One file: its path, what one can do with it, and its content in the way that suits it. */
import { Button, Group, SegmentedControl } from '@mantine/core'
import { useNavigate } from '@tanstack/react-router'
import { Download, RefreshCw } from 'lucide-react'
import { useState } from 'react'
import type { Entry } from '../api/types'
import { IconAction } from '../ui/IconAction'
import { bytes } from '../ui/time'
import { downloadAddress, rawAddress, rawPathAddress, refreshFiles } from './changes'
import { EntryMenu } from './EntryRow'
import { parentOf, shapeOf } from './paths'
import { PathLine } from './PathLine'
import { TextView } from './TextView'
import css from './files.module.css'

interface Props {
  project: string
  path: string
  entry: Entry
}

export function FileView({ project, path, entry }: Props) {
  const shape = shapeOf(path)
  const [source, setSource] = useState(false)
  const navigate = useNavigate()
  const left = () => void navigate({ to: '/p/$project/files/$', params: { project, _splat: parentOf(path).slice(1) } })
  const hasSource = shape === 'markdown' || shape === 'html' || path.endsWith('.svg')
  return (
    <div className={css.folder}>
      <div className={css.bar}>
        <PathLine project={project} path={path} />
        <Group gap={6} wrap="nowrap">
          <span className={css.size}>{bytes(entry.size)}</span>
          {hasSource && (
            <SegmentedControl
              size="xs"
              aria-label="Show as"
              value={source ? 'source' : 'preview'}
              onChange={(value) => setSource(value === 'source')}
              data={[
                { value: 'preview', label: 'Preview' },
                { value: 'source', label: 'Source' },
              ]}
            />
          )}
          <IconAction label="Refresh" icon={RefreshCw} size={30} onClick={() => void refreshFiles(project)} />
          <Button component="a" href={downloadAddress(project, path)} download variant="default" leftSection={<Download size={14} />}>
            Download
          </Button>
          <EntryMenu project={project} path={path} entry={entry} left={left} />
        </Group>
      </div>
      <div className={css.scroll}>
        <Content {...{ project, path, entry }} source={source && hasSource} />
      </div>
    </div>
  )
}

function Content({ project, path, entry, source }: Props & { source: boolean }) {
  const shape = source ? 'text' : shapeOf(path)
  // A changed file has another time, so that no old picture is shown.
  const version = `&v=${entry.mtime}`
  if (shape === 'image') {
    return (
      <div className={css.picture}>
        <img src={rawAddress(project, path) + version} alt={entry.name} />
      </div>
    )
  }
  if (shape === 'pdf') {
    // Chromium shows no PDF in a sandboxed frame; the server sends its own sandbox policy.
    // oxlint-disable-next-line react/iframe-missing-sandbox
    return <iframe className={css.frame} src={rawAddress(project, path) + version} title={entry.name} />
  }
  if (shape === 'html') {
    return <iframe className={css.frame} sandbox="" src={rawPathAddress(project, path)} title={entry.name} />
  }
  return <TextView project={project} path={path} markdown={shape === 'markdown'} />
}
