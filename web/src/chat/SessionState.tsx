/** Over the composer: why the agent does not answer (yet), and what to do about it. */
import { Button, Loader, VisuallyHidden } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { CircleAlert, HeartPulse, Hourglass, Moon } from 'lucide-react'
import type { ReactNode } from 'react'
import { queries } from '../api/queries'
import type { Harness, Session } from '../api/types'
import { startHarness } from '../harness/harnesses'
import { announcementOf, dotOf, failureOf, healedFrom, isWaking, outlookOf, restReason } from '../harness/sandbox'
import { StopButton } from '../harness/SandboxNotices'
import { useNewSession } from '../harness/sessions'
import { stepUnderWay } from '../harness/steps'
import css from './chat.module.css'

interface Props {
  harness: Harness
  project: string
}

export function SessionState({ session, project }: { session: Session; project: string }) {
  const { data: harness } = useQuery(queries.harness(session.harness_id))
  if (session.status === 'failed') return <FailedSession session={session} project={project} />
  if (!harness) return null
  return (
    <>
      {/* One live region for all states: what changes is heard, what is only drawn anew is not. */}
      <VisuallyHidden role="status" data-testid="sandbox-announcer">
        {announcementOf(harness)}
      </VisuallyHidden>
      <SandboxState harness={harness} project={project} working={session.working} />
    </>
  )
}

function SandboxState({ harness, project, working }: Props & { working: boolean }) {
  switch (dotOf(harness)) {
    case 'failed':
      return <FailedSandbox harness={harness} project={project} />
    case 'waiting':
      return <WaitingSandbox harness={harness} project={project} />
    case 'healing':
      return <HealingSandbox harness={harness} project={project} />
    case 'suspended':
      return <SuspendedSandbox harness={harness} working={working} />
    case 'starting':
    case 'waking':
      return <StartingSandbox harness={harness} />
    default:
      return null
  }
}

function StartingSandbox({ harness }: { harness: Harness }) {
  const step = stepUnderWay(harness)
  return (
    <div className={css.state}>
      <Loader size={13} aria-hidden />
      <span>
        {isWaking(harness) ? 'The sandbox wakes up' : 'The sandbox is starting'}
        {step && `: ${step}`}…
      </span>
    </div>
  )
}

function SuspendedSandbox({ harness, working }: { harness: Harness; working: boolean }) {
  return (
    <div className={css.stateCalm}>
      <Moon size={15} aria-hidden />
      <span>
        <b>The sandbox is suspended.</b> <i>{working ? 'Your prompt wakes it up.' : `${restReason(harness)} The next prompt wakes it up.`}</i>
      </span>
    </div>
  )
}

function WaitingSandbox({ harness, project }: Props) {
  return (
    <div className={css.stateCalm}>
      <Hourglass size={15} aria-hidden />
      <span>
        <b>The sandbox waits.</b> {harness.waiting} <i>{outlookOf(harness)} Prompts are kept until then.</i>
      </span>
      <div className={css.stateActions}>
        {harness.sandbox_status !== 'idle' && harness.access_role === 'owner' && <StopButton harness={harness} size="compact-xs" />}
        <ToHarness harness={harness} project={project}>
          Details
        </ToHarness>
      </div>
    </div>
  )
}

function HealingSandbox({ harness, project }: Props) {
  return (
    <div className={css.stateCalm}>
      <HeartPulse size={15} aria-hidden />
      <span>
        <b>The sandbox was lost and is being started again.</b> <i>{healedFrom(harness)?.reason}</i>
      </span>
      <div className={css.stateActions}>
        <ToHarness harness={harness} project={project}>
          Details
        </ToHarness>
      </div>
    </div>
  )
}

function FailedSandbox({ harness, project }: Props) {
  return (
    <div className={css.stateBad}>
      <CircleAlert size={15} aria-hidden />
      <span>
        <b>The sandbox failed.</b> {failureOf(harness.failure).sentence}
      </span>
      <div className={css.stateActions}>
        <Button variant="default" size="compact-xs" onClick={() => void startHarness(harness)}>
          Retry
        </Button>
        <ToHarness harness={harness} project={project}>
          Log
        </ToHarness>
      </div>
    </div>
  )
}

function ToHarness({ harness, project, children }: Props & { children: ReactNode }) {
  return (
    <Button
      variant="subtle"
      size="compact-xs"
      renderRoot={(props) => (
        <Link to="/p/$project/h/$harness" params={{ project, harness: harness.harness_id }} {...props} />
      )}
    >
      {children}
    </Button>
  )
}

function FailedSession({ session, project }: { session: Session; project: string }) {
  const newSession = useNewSession()
  return (
    <div className={css.stateBad} role="status">
      <CircleAlert size={15} aria-hidden />
      <span>
        <b>This session failed.</b> {session.failure}
      </span>
      <Button variant="default" size="compact-xs" onClick={() => void newSession(project, session.harness_id)}>
        New session
      </Button>
    </div>
  )
}
