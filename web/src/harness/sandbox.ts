/** What a harness's sandbox is at, in words: why it waits, how it failed, whether it is being healed. */
import type { Harness, Recovery } from '../api/types'
import type { DotState } from '../ui/StatusDot'
import { stepUnderWay } from './steps'

const LOG_MARK = /\s*The last lines of its log:\n/
/** A loss and the start that heals it follow each other so soon. */
const HEALING_MS = 2 * 60_000

/** Its state as the dot shows it. */
export function dotOf(harness: Harness): DotState {
  const { sandbox_status: status } = harness
  if (status === 'failed') return status
  if (harness.waiting !== null) return 'waiting'
  if (isSuspended(harness)) return 'suspended'
  if (isWaking(harness)) return 'waking'
  return healedFrom(harness) ? 'healing' : status
}

/** It was not used and rests, rather than that somebody stopped it. */
export const isSuspended = (harness: Harness): boolean => harness.sandbox_status === 'idle' && harness.suspended_at !== null

/** It starts again after it was suspended. */
export const isWaking = (harness: Harness): boolean => harness.sandbox_status === 'starting' && harness.stopped_reason !== null

/** Why it rests, where it was suspended. */
export const restReason = (harness: Harness): string =>
  harness.stopped_reason === 'lease' ? 'No worker of this site was there to keep it running.' : 'Nobody used it.'

/** More than the state's word, for those who only hear the dot. */
export function whyOf(harness: Harness): string | null {
  switch (dotOf(harness)) {
    case 'waiting':
      return harness.waiting
    case 'healing':
      return healedFrom(harness)?.reason ?? null
    case 'suspended':
      return restReason(harness)
    default:
      return null
  }
}

/** The loss that this start heals; null where it is an ordinary start. */
export function healedFrom(harness: Harness): Recovery | null {
  const last = harness.recoveries.at(-1)
  if (!last || harness.sandbox_status !== 'starting') return null
  const began = [harness.steps[0]?.started_at, harness.runtime_events[0]?.at].filter((at) => at !== undefined)
  const from = Math.min(Date.now(), ...began.map((at) => Date.parse(at)))
  return from - Date.parse(last.at) < HEALING_MS ? last : null
}

/** How it goes on after a wait, unless the reason says that itself. */
export function outlookOf({ waiting, sandbox_status: status }: Harness): string {
  if (waiting !== null && /\bby itself\b|\bgoes on when\b/.test(waiting)) return ''
  const how = status === 'starting' ? 'starts' : status === 'idle' ? 'ends' : 'goes on'
  return `It ${how} by itself as soon as it can.`
}

/** Since when it waits, as near as is known: since the step began that it waits at. */
export function waitingSince({ steps, recoveries, sandbox_status: status }: Harness): string | null {
  const open = steps.find((step) => !step.finished_at)
  if (status !== 'starting') return null
  if (open) return open.started_at
  return steps.at(-1)?.finished_at ?? recoveries.at(-1)?.at ?? null
}

export interface Failure {
  sentence: string
  /** More of the message, where it has several lines. */
  more: string
  log: string
}

/** The parts of a failure's text: its first line says what happened, the end of the log may follow. */
export function failureOf(text: string | null): Failure {
  const [message = '', ...logs] = (text ?? '').split(LOG_MARK)
  const [sentence = '', ...more] = message.trim().split('\n')
  return {
    sentence: sentence || 'It gave no reason. Its log may say more.',
    more: more.join('\n').trim(),
    log: logs.join('\n').trimEnd(),
  }
}

/** One sentence for a screen reader, the same as long as nothing new is to be said. */
export function announcementOf(harness: Harness): string {
  const { sandbox_status: status, waiting } = harness
  if (status === 'failed') return `The sandbox failed. ${failureOf(harness.failure).sentence}`
  if (waiting !== null) return `The sandbox waits: ${waiting}`
  if (status === 'ready') return 'The sandbox is ready.'
  if (isSuspended(harness)) return `The sandbox is suspended. ${restReason(harness)}`
  if (status === 'idle') return 'The sandbox is stopped.'
  const lost = healedFrom(harness)
  if (lost) return `The sandbox was lost and is being started again: ${lost.reason}`
  const step = stepUnderWay(harness)
  const doing = isWaking(harness) ? 'The sandbox wakes up' : 'The sandbox is starting'
  return step ? `${doing}: ${step}.` : `${doing}.`
}
