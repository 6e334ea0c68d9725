/** Over the composer: why the agent does not answer (yet), and what to do about it. */
import { Button, Loader } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { CircleAlert } from 'lucide-react'
import { queries } from '../api/queries'
import type { Harness, Session } from '../api/types'
import { startHarness } from '../harness/harnesses'
import { useNewSession } from '../harness/sessions'
import css from './chat.module.css'

const STEP_WORDS: Record<string, string> = {
  workspace: 'preparing the workspace',
  scheduled: 'finding a place to run',
  image: 'fetching the image',
  started: 'starting the process',
  answering: 'waiting for the agent to answer',
}

export function SessionState({ session, project }: { session: Session; project: string }) {
  const { data: harness } = useQuery(queries.harness(session.harness_id))
  if (session.status === 'failed') return <FailedSession session={session} project={project} />
  if (!harness) return null
  if (harness.sandbox_status === 'failed') return <FailedSandbox harness={harness} project={project} />
  if (harness.sandbox_status !== 'starting') return null
  const step = harness.steps.find((s) => s.finished_at === null)
  return (
    <div className={css.state} role="status">
      <Loader size={13} aria-hidden />
      <span>The sandbox is starting{step ? `: ${STEP_WORDS[step.name] ?? step.name}` : ''}…</span>
    </div>
  )
}

function FailedSandbox({ harness, project }: { harness: Harness; project: string }) {
  return (
    <div className={css.stateBad} role="status">
      <CircleAlert size={15} aria-hidden />
      <span tabIndex={0}>The sandbox failed. {harness.failure}</span>
      <Button variant="default" size="compact-xs" onClick={() => void startHarness(harness)}>
        Retry
      </Button>
      <Button
        variant="subtle"
        size="compact-xs"
        renderRoot={(props) => (
          <Link to="/p/$project/h/$harness" params={{ project, harness: harness.harness_id }} {...props} />
        )}
      >
        Log
      </Button>
    </div>
  )
}

function FailedSession({ session, project }: { session: Session; project: string }) {
  const newSession = useNewSession()
  return (
    <div className={css.stateBad} role="status">
      <CircleAlert size={15} aria-hidden />
      <span>This session failed. {session.failure}</span>
      <Button variant="default" size="compact-xs" onClick={() => void newSession(project, session.harness_id)}>
        New session
      </Button>
    </div>
  )
}
