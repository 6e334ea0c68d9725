/** A sub-agent's errand: what it was asked, what it answered. Its own steps stand as rows below. */
import { Markdown } from '../Markdown'
import type { CardProps } from './ToolCard'
import { textOf } from './kinds'
import { Output, waitingNote } from './Output'
import css from './tools.module.css'

export function TaskOutput({ part }: CardProps) {
  const prompt = textOf(part.input.prompt)
  return (
    <>
      {prompt && <p className={css.prompt}>{prompt}</p>}
      {part.state === 'ok' && part.output ? (
        <div className={css.answer}>
          <Markdown text={part.output} done />
        </div>
      ) : (
        <Output text={part.output} empty={waitingNote(part.state)} />
      )}
    </>
  )
}
