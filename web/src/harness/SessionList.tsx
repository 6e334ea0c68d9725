/** A harness's sessions as a list. */
import { Button } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { MessageSquare, MessageSquarePlus, Trash2 } from 'lucide-react'
import { queries } from '../api/queries'
import type { Harness } from '../api/types'
import { sessionTitle } from '../shell/names'
import { Ago } from '../ui/Ago'
import { EmptyState } from '../ui/EmptyState'
import { IconAction } from '../ui/IconAction'
import { Loaded } from '../ui/Loaded'
import { Panel } from '../ui/Page'
import { StatusDot } from '../ui/StatusDot'
import { confirmSessionDeletion, useNewSession } from './sessions'
import css from '../ui/ui.module.css'

export function SessionList({ harness }: { harness: Harness }) {
  const sessions = useQuery(queries.sessions(harness.harness_id))
  const newSession = useNewSession()
  const project = harness.project_id
  return (
    <Panel title="Sessions" flush>
      <Loaded query={sessions}>
        {(list) =>
          list.length === 0 ? (
            <EmptyState
              icon={MessageSquarePlus}
              title="No session yet"
              text="A session is one conversation with the agent. You may start it while the sandbox is still coming up."
            >
              <Button onClick={() => void newSession(project, harness.harness_id)}>Start a session</Button>
            </EmptyState>
          ) : (
            <ul className={css.rows}>
              {list.map((session) => (
                <li key={session.session_id}>
                  <Link
                    className={css.rowLink}
                    to="/p/$project/s/$session"
                    params={{ project, session: session.session_id }}
                  >
                    <MessageSquare size={15} aria-hidden />
                    <span className={css.rowTitle}>{sessionTitle(session)}</span>
                    {session.working && <StatusDot state="working" of="agent" />}
                    {session.status === 'failed' && <StatusDot state="failed" of="session" />}
                  </Link>
                  <Ago at={session.last_seen_at ?? session.created_at} className={css.dim} />
                  <IconAction
                    size="md"
                    iconSize={14}
                    label={`Delete ${sessionTitle(session)}`}
                    icon={Trash2}
                    onClick={() => confirmSessionDeletion(project, session)}
                  />
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
    </Panel>
  )
}
