/** What a search found: paths where the server parsed them, else the text. */
import type { CardProps } from './ToolCard'
import { Output, waitingNote } from './Output'
import css from './tools.module.css'

const SHOWN = 200

export function SearchOutput({ part }: CardProps) {
  const paths = part.parsed?.paths
  if (!paths) return <Output text={part.output} empty={waitingNote(part.state)} />
  if (paths.length === 0) return <p className={css.note}>Nothing matched.</p>
  return (
    <div className={css.output}>
      <ul className={css.paths} aria-label="Matches">
        {paths.slice(0, SHOWN).map((path) => (
          <li key={path}>{path}</li>
        ))}
      </ul>
      {paths.length > SHOWN && <p className={css.note}>{paths.length - SHOWN} more</p>}
    </div>
  )
}
