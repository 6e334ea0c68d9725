/** Text of a file: Markdown as it reads, everything else with line numbers and colours. */
import { Button } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { FileQuestionMark, Scissors } from 'lucide-react'
import { lazy, Suspense } from 'react'
import { queries } from '../api/queries'
import type { FileText } from '../api/types'
import { EmptyState } from '../ui/EmptyState'
import { Loaded } from '../ui/Loaded'
import { Notice } from '../ui/Notice'
import { downloadAddress } from './changes'
import css from './files.module.css'

const Source = lazy(() => import('./Source'))
const Reading = lazy(() => import('./Reading'))

export function TextView({ project, path, markdown }: { project: string; path: string; markdown: boolean }) {
  const file = useQuery(queries.file(project, path))
  return (
    <Loaded query={file} lines={8}>
      {(data) =>
        data.binary ? (
          <EmptyState icon={FileQuestionMark} title="Not text" text="This file cannot be shown here.">
            <Button component="a" href={downloadAddress(project, path)} download>
              Download
            </Button>
          </EmptyState>
        ) : (
          <TextOf file={data} path={path} markdown={markdown} />
        )
      }
    </Loaded>
  )
}

/** The text that was read; shared with the skills, whose files come from another route. */
export function TextOf({ file, path, markdown }: { file: FileText; path: string; markdown: boolean }) {
  const text = file.content ?? ''
  return (
    <Suspense fallback={<pre className={css.plain}>{text}</pre>}>
      {file.truncated && (
        <Notice kind="warn" icon={Scissors}>
          Only the first part of this file is shown; download it to see all.
        </Notice>
      )}
      {markdown ? <Reading text={text} /> : <Source text={text} path={path} />}
    </Suspense>
  )
}
