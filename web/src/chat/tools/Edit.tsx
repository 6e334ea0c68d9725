/** A change to a file: its diff, or the text that was written where the harness gave no diff. */
import { lazy, Suspense } from 'react'
import type { ToolPart } from '../parts'
import type { CardProps } from './ToolCard'
import { textOf } from './kinds'
import { Output, waitingNote } from './Output'
import css from './tools.module.css'

const Diff = lazy(() => import('./Diff'))
/** A larger diff is shown as text: nothing then hangs on it. */
const LARGEST_DIFF = 200_000

export const hasChange = (part: ToolPart) => Boolean(part.diff) || written(part) !== ''

export function EditOutput({ part }: CardProps) {
  if (part.state === 'failed') return <Output text={part.output} empty="It failed without a word." />
  if (part.diff && part.diff.length <= LARGEST_DIFF) {
    return (
      <Suspense fallback={<PlainDiff diff={part.diff} />}>
        <Diff patch={part.diff} />
      </Suspense>
    )
  }
  if (part.diff) return <PlainDiff diff={part.diff} />
  const text = written(part)
  if (text) return <Output text={text} label="Written text" />
  return <Output text={part.output} empty={waitingNote(part.state)} />
}

function PlainDiff({ diff }: { diff: string }) {
  return (
    <pre className={css.out} tabIndex={0} aria-label="Diff">
      {diff}
    </pre>
  )
}

const written = (part: ToolPart) => textOf(part.input.content) || textOf(part.input.newString) || textOf(part.input.new_string)
