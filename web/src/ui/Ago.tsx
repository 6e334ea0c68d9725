/** A moment in short words, exact on hover and for machines. */
import { ago, elapsed, exactly, moment } from './time'
import { useNow } from './useNow'

const TICK_MS = 10_000
const MINUTE_MS = 60_000
const WEEK_MS = 7 * 24 * 60 * MINUTE_MS

export function Ago({ at, className }: { at: string; className?: string | undefined }) {
  return (
    <time dateTime={at} title={moment(at)} className={className}>
      {ago(at)}
    </time>
  )
}

/** As part of a sentence, and to the second while it is new; it goes on counting. */
export function TimeAgo({ at, className }: { at: string; className?: string | undefined }) {
  const now = useNow(TICK_MS)
  const gone = now - Date.parse(at)
  const words = gone < MINUTE_MS ? elapsed(at, now) : ago(at, now)
  return (
    <time dateTime={at} title={exactly(at)} className={className}>
      {gone < WEEK_MS ? `${words} ago` : words}
    </time>
  )
}
