/** The start of a sandbox as a timeline: each step, how long it took, where it stands, waits or failed. */
import { Loader } from '@mantine/core'
import { Circle, CircleAlert, CircleCheck, Hourglass } from 'lucide-react'
import type { Harness } from '../api/types'
import { elapsed, span } from '../ui/time'
import { useNow } from '../ui/useNow'
import { failureOf } from './sandbox'
import { shownSteps, type ShownStep, type StepState } from './steps'
import css from './harness.module.css'

const TICK_MS = 1_000

export function SandboxSteps({ harness }: { harness: Harness }) {
  // What it failed of stands above the steps already.
  const { sentence } = failureOf(harness.failure)
  return (
    <ol className={css.steps} aria-label="Steps of the sandbox's start">
      {shownSteps(harness).map((step) => (
        <Step key={step.name} step={sentence.includes(step.detail) ? { ...step, detail: '' } : step} />
      ))}
    </ol>
  )
}

function Step({ step }: { step: ShownStep }) {
  const { name, state, title, detail } = step
  return (
    <li className={css.step} data-step={name} data-state={state}>
      <span className={css.stepIcon} data-state={state}>
        <StepIcon state={state} />
      </span>
      <span className={css.stepTitle} data-state={state}>
        {title}
      </span>
      <span className={css.stepTime}>
        <StepTime step={step} />
      </span>
      {detail && <span className={css.stepDetail}>{detail}</span>}
    </li>
  )
}

function StepIcon({ state }: { state: StepState }) {
  if (state === 'done') return <CircleCheck size={16} role="img" aria-label="done" />
  if (state === 'failed') return <CircleAlert size={16} aria-hidden />
  if (state === 'waiting') return <Hourglass size={15} aria-hidden />
  if (state === 'running') return <Loader size={14} color="yellow" role="img" aria-label="in progress" />
  return <Circle size={14} role="img" aria-label="not yet" />
}

function StepTime({ step: { state, startedAt, finishedAt } }: { step: ShownStep }) {
  if (state === 'failed') return <b className={css.stepFailed}>failed here</b>
  if (startedAt && finishedAt) return span(startedAt, finishedAt)
  if (state === 'waiting') return 'waiting'
  return state === 'running' && startedAt ? <Clock since={startedAt} /> : null
}

/** Runs for the eye; a screen reader hears each new step instead. */
function Clock({ since }: { since: string }) {
  const now = useNow(TICK_MS)
  return (
    <span role="timer" aria-live="off">
      {elapsed(since, now)}
    </span>
  )
}
