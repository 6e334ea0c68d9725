/** A shell command and what it printed. */
import type { CardProps } from './ToolCard'
import { textOf } from './kinds'
import { Output, waitingNote } from './Output'
import css from './tools.module.css'

export function BashOutput({ part }: CardProps) {
  const command = textOf(part.input.command)
  return (
    <>
      {(command.includes('\n') || command.length > 80) && (
        <pre className={css.command} tabIndex={0} aria-label="Command">
          {command}
        </pre>
      )}
      <Output text={part.output} empty={waitingNote(part.state)} />
    </>
  )
}
