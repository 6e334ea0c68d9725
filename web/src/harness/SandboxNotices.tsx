/** Calm words on a harness's page: what its sandbox waits for, that it is being healed, that it was. */
import { Button } from '@mantine/core'
import { HeartPulse, Hourglass, Moon, Square } from 'lucide-react'
import type { Harness } from '../api/types'
import { TimeAgo } from '../ui/Ago'
import { Fold } from '../ui/Fold'
import { Notice } from '../ui/Notice'
import { elapsed, timeOfDay } from '../ui/time'
import { useNow } from '../ui/useNow'
import { stopHarness } from './harnesses'
import { dotOf, healedFrom, outlookOf, restReason, waitingSince } from './sandbox'
import css from './harness.module.css'

const TICK_MS = 10_000

export function WaitingNotice({ harness }: { harness: Harness }) {
  const since = waitingSince(harness)
  const { sandbox_status: status } = harness
  const title = status === 'starting' ? 'The sandbox waits to start' : status === 'idle' ? 'The sandbox waits to end' : 'The sandbox waits'
  return (
    <Notice
      kind="calm"
      icon={Hourglass}
      title={title}
      actions={status !== 'idle' && harness.access_role === 'owner' && <StopButton harness={harness} />}
    >
      {harness.waiting}
      <div className={css.noticeFoot}>
        {since && <Since at={since} />}
        {outlookOf(harness)}
      </div>
    </Notice>
  )
}

export function SuspendedNotice({ harness }: { harness: Harness }) {
  if (dotOf(harness) !== 'suspended' || !harness.suspended_at) return null
  return (
    <Notice kind="calm" icon={Moon} title="The sandbox is suspended">
      {restReason(harness)} Files and conversations are kept; a prompt, a terminal or Start wakes it up.
      <div className={css.noticeFoot}>
        It was suspended <TimeAgo at={harness.suspended_at} />.
      </div>
    </Notice>
  )
}

export function HealingNotice({ harness }: { harness: Harness }) {
  const lost = healedFrom(harness)
  if (!lost || dotOf(harness) !== 'healing') return null
  return (
    <Notice kind="calm" icon={HeartPulse} title="The sandbox was lost and is being started again">
      {lost.reason}
      <div className={css.noticeFoot}>
        It happened <TimeAgo at={lost.at} />. Nobody has to do anything; the project’s files are kept.
      </div>
    </Notice>
  )
}

/** Under the steps: how often it was healed lately, and each time's reason. */
export function Recoveries({ harness }: { harness: Harness }) {
  // The one under way has a notice of its own.
  const recoveries = healedFrom(harness) ? harness.recoveries.slice(0, -1) : harness.recoveries
  const last = recoveries.at(-1)
  if (!last) return null
  const what = harness.sandbox_status === 'failed' ? 'Started again' : 'Healed'
  const times = recoveries.length === 1 ? 'once' : `${recoveries.length} times`
  return (
    <div className={css.recoveries}>
      <HeartPulse size={15} aria-hidden />
      <div>
        {what} by itself {times}, last <TimeAgo at={last.at} />: {last.reason}
        {recoveries.length > 1 && (
          <Fold title="All of them">
            <ol className={css.healed}>
              {recoveries.map(({ at, reason }, i) => (
                <li key={`${at} ${i}`}>
                  <TimeAgo at={at} className={css.eventTime} /> {reason}
                </li>
              ))}
            </ol>
          </Fold>
        )}
      </div>
    </div>
  )
}

export function StopButton({ harness, size = 'xs' }: { harness: Harness; size?: 'xs' | 'compact-xs' }) {
  return (
    <Button variant="default" size={size} leftSection={<Square size={12} />} onClick={() => void stopHarness(harness)}>
      Stop
    </Button>
  )
}

function Since({ at }: { at: string }) {
  const now = useNow(TICK_MS)
  return (
    <>
      Since <time dateTime={at}>{timeOfDay(at)}</time> ({elapsed(at, now)}).{' '}
    </>
  )
}
