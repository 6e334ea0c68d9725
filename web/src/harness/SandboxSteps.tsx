/** The start of a sandbox as a timeline: each step, how long it took, where it stands or failed. */
import { Loader } from '@mantine/core'
import { Circle, CircleAlert, CircleCheck } from 'lucide-react'
import type { Harness, SandboxStep } from '../api/types'
import { clock, span } from '../ui/time'
import css from './harness.module.css'

const STEPS: { name: SandboxStep['name']; title: string }[] = [
  { name: 'workspace', title: 'Workspace ready' },
  { name: 'scheduled', title: 'Place found' },
  { name: 'image', title: 'Image ready' },
  { name: 'started', title: 'Process started' },
  { name: 'answering', title: 'Agent answers' },
]

type State = 'done' | 'running' | 'failed' | 'waiting'

export function SandboxSteps({ harness }: { harness: Harness }) {
  const known = new Map(harness.steps.map((step) => [step.name, step]))
  const last = harness.steps.at(-1)
  return (
    <ol className={css.steps} aria-label="Steps of the sandbox's start">
      {stepsOf(harness).map(({ name, title }) => {
        const step = known.get(name)
        const state = stateOf(harness, step, step !== undefined && step === last)
        return (
          <li key={name} className={css.step} data-step={name} data-state={state}>
            <span className={css.stepIcon} data-state={state}>
              <StepIcon state={state} />
            </span>
            <span className={css.stepTitle} data-state={state}>
              {title}
            </span>
            <span className={css.stepTime}>{step && timeOf(step)}</span>
            {step?.detail && <span className={css.stepDetail}>{step.detail}</span>}
          </li>
        )
      })}
    </ol>
  )
}

/** Not every runtime has every step: one that was passed over is left out, one to come is shown. */
function stepsOf({ steps, sandbox_status: status }: Harness) {
  const known = new Set(steps.map(({ name }) => name))
  const reached = STEPS.findLastIndex(({ name }) => known.has(name))
  return STEPS.filter(({ name }, i) => known.has(name) || (status !== 'ready' && i > reached))
}

function StepIcon({ state }: { state: State }) {
  if (state === 'done') return <CircleCheck size={16} role="img" aria-label="done" />
  if (state === 'failed') return <CircleAlert size={16} role="img" aria-label="failed" />
  if (state === 'running') return <Loader size={14} color="yellow" role="img" aria-label="in progress" />
  return <Circle size={14} role="img" aria-label="not yet" />
}

function stateOf(harness: Harness, step: SandboxStep | undefined, isLast: boolean): State {
  if (!step) return 'waiting'
  if (step.finished_at) return 'done'
  if (harness.sandbox_status === 'failed' && isLast) return 'failed'
  return harness.sandbox_status === 'starting' ? 'running' : 'done'
}

function timeOf(step: SandboxStep): string {
  return step.finished_at ? span(step.started_at, step.finished_at) : clock(step.started_at)
}
