/** A session of a terminal harness: its header, and its terminal below. */
import { VisuallyHidden } from '@mantine/core'
import { useDocumentTitle } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { queries } from '../api/queries'
import type { Session } from '../api/types'
import { harnessName, sessionTitle } from '../shell/names'
import { TerminalPane } from './TerminalPane'
import css from './terminal.module.css'

export function TerminalPage({ session }: { session: Session }) {
  const { data: harness } = useQuery(queries.harness(session.harness_id))
  const title = sessionTitle(session)
  useDocumentTitle(`${title} · Cattery`)
  return (
    <div className={css.page}>
      <VisuallyHidden>
        <h1>{title}</h1>
      </VisuallyHidden>
      <div className={css.header}>
        <span className={css.title} title={title}>
          {title}
        </span>
        {harness && (
          <span className={css.sub}>
            {harnessName(harness)} · {harness.model}
          </span>
        )}
      </div>
      <TerminalPane key={session.session_id} sessionId={session.session_id} title={title} />
    </div>
  )
}
