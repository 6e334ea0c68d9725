/** What the cluster itself said of the start; its warnings stand out by icon and word. */
import { Info, TriangleAlert } from 'lucide-react'
import type { RuntimeEvent } from '../api/types'
import { TimeAgo } from '../ui/Ago'
import { Fold } from '../ui/Fold'
import css from './harness.module.css'

export function SandboxEvents({ events, open }: { events: RuntimeEvent[]; open: boolean }) {
  if (events.length === 0) return null
  return (
    <Fold title={<span>What the cluster said{summaryOf(events)}</span>} open={open}>
      <ol className={css.events} tabIndex={0} aria-label="Events of the cluster, oldest first">
        {events.map((event, i) => (
          <Event key={`${event.reason} ${i}`} event={event} />
        ))}
      </ol>
    </Fold>
  )
}

function Event({ event: { at, reason, message, count, is_warning: isWarning } }: { event: RuntimeEvent }) {
  return (
    <li className={css.event} data-warning={isWarning || undefined}>
      {isWarning ? (
        <TriangleAlert size={14} role="img" aria-label="warning" />
      ) : (
        <Info size={14} aria-hidden />
      )}
      <span className={css.eventReason}>
        {reason}
        {count > 1 && (
          <span className={css.eventCount} title={`seen ${count} times`}>
            ×{count}
          </span>
        )}
      </span>
      <TimeAgo at={at} className={css.eventTime} />
      <span className={css.eventText}>{message}</span>
    </li>
  )
}

function summaryOf(events: RuntimeEvent[]): string {
  const warnings = events.filter((event) => event.is_warning).length
  const some = warnings === 0 ? '' : warnings === 1 ? ', 1 warning' : `, ${warnings} warnings`
  return ` (${events.length}${some})`
}
