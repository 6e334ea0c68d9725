/** Moments and spans in words. */

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** Short and relative while it is near, a date once it is not. */
export function ago(iso: string, now = Date.now()): string {
  const at = new Date(iso)
  const gone = now - at.getTime()
  if (gone < MINUTE) return 'now'
  if (gone < HOUR) return `${Math.floor(gone / MINUTE)} min`
  if (gone < DAY) return `${Math.floor(gone / HOUR)} h`
  if (gone < 7 * DAY) return `${Math.floor(gone / DAY)} d`
  const sameYear = at.getFullYear() === new Date(now).getFullYear()
  return at.toLocaleDateString('en', { month: 'short', day: 'numeric', ...(sameYear ? {} : { year: 'numeric' }) })
}

export const moment = (iso: string) =>
  new Date(iso).toLocaleString('en', { dateStyle: 'medium', timeStyle: 'short' })

/** To the second, for what happens within a minute. */
export const exactly = (iso: string) =>
  new Date(iso).toLocaleString('en', { dateStyle: 'medium', timeStyle: 'medium' })

export const timeOfDay = (iso: string) =>
  new Date(iso).toLocaleTimeString('en', { hour: '2-digit', minute: '2-digit', hour12: false })

/** How long something took: fine where it was short. */
export function span(fromIso: string, toIso: string): string {
  const ms = Math.max(0, new Date(toIso).getTime() - new Date(fromIso).getTime())
  if (ms < 1_000) return `${ms} ms`
  if (ms < 9_950) return `${(ms / 1_000).toFixed(1)} s`
  return seconds(ms)
}

/** How long something goes on by now, as a clock that ticks would show it. */
export const elapsed = (iso: string, now = Date.now()) => seconds(Math.max(0, now - new Date(iso).getTime()))

function seconds(ms: number): string {
  if (ms < MINUTE) return `${Math.floor(ms / 1_000)} s`
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min ${Math.floor((ms % MINUTE) / 1_000)} s`
  return `${Math.floor(ms / HOUR)} h ${Math.floor((ms % HOUR) / MINUTE)} min`
}

/** A length of time that somebody chose, or a sum of many: in its largest unit that reads well. */
export function lasting(seconds: number): string {
  const units: [size: number, name: string][] = [[DAY, 'day'], [HOUR, 'hour'], [MINUTE, 'minute']]
  for (const [size, name] of units) {
    const count = (seconds * 1_000) / size
    if (count >= 2 || count === 1) {
      const rounded = Number.isInteger(count) || count >= 100 ? Math.round(count) : Number(count.toFixed(1))
      return `${rounded.toLocaleString('en')} ${name}${rounded === 1 ? '' : 's'}`
    }
  }
  const whole = Math.round(seconds)
  return `${whole} second${whole === 1 ? '' : 's'}`
}

export function bytes(size: number): string {
  if (size < 1_024) return `${size} B`
  const units = ['KB', 'MB', 'GB', 'TB']
  let value = size
  let unit = 'B'
  for (const next of units) {
    if (value < 1_024) break
    value /= 1_024
    unit = next
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`
}
