/** Any other tool: what it was given and what it gave. */
import type { CardProps } from './ToolCard'
import { Output, waitingNote } from './Output'
import css from './tools.module.css'

export function GenericOutput({ part }: CardProps) {
  const input = Object.keys(part.input).length > 0 ? JSON.stringify(part.input, null, 2) : ''
  return (
    <>
      {input && (
        <pre className={css.command} tabIndex={0} aria-label="Input">
          {input}
        </pre>
      )}
      <Output text={part.output} empty={waitingNote(part.state)} />
    </>
  )
}
