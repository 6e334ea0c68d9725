/** A file or folder that was read: its lines with their numbers where the server parsed them. */
import type { CardProps } from './ToolCard'
import { Output, waitingNote } from './Output'
import css from './tools.module.css'

const SHOWN = 200

export function ReadOutput({ part }: CardProps) {
  const { lines, totalLines } = part.parsed ?? {}
  if (!lines || lines.length === 0) return <Output text={part.output} empty={waitingNote(part.state)} />
  const shown = lines.slice(0, SHOWN)
  const hidden = Math.max(lines.length, totalLines ?? 0) - shown.length
  return (
    <>
      <div className={css.lines} tabIndex={0} role="region" aria-label="Lines read">
        <pre aria-hidden className={css.numbers}>
          {shown.map(({ n }) => n).join('\n')}
        </pre>
        <pre>{shown.map(({ text }) => text).join('\n')}</pre>
      </div>
      {hidden > 0 && <p className={css.note}>{hidden.toLocaleString('en')} more lines</p>}
    </>
  )
}
