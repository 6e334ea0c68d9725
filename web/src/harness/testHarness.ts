/** A harness for tests, with what a cluster really tells of one. */
import type { Harness, RuntimeEvent, SandboxStep } from '../api/types'

export const NOW = Date.parse('2026-03-10T12:00:00Z')

export const before = (seconds: number) => new Date(NOW - seconds * 1_000).toISOString()

export const step = (name: string, began: number, ended: number | null, detail = ''): SandboxStep => ({
  name,
  started_at: before(began),
  finished_at: ended === null ? null : before(ended),
  detail,
})

export const event = (ago: number, reason: string, message: string, more: Partial<RuntimeEvent> = {}): RuntimeEvent => ({
  at: before(ago),
  reason,
  message,
  count: 1,
  is_warning: false,
  ...more,
})

export const harness = (what: Partial<Harness> = {}): Harness => ({
  harness_id: 'b9c6e1de-4f8f-4d2b-9a52-5a0f4c1b7e11',
  project_id: '4f2a9d70-6a51-4a3e-8a1c-6c1d0b5f2e90',
  harness_name: 'Backend helper',
  model: 'claude-sonnet-4-6',
  type: 'opencode',
  env_vars: {},
  sandbox_status: 'starting',
  task_name: null,
  sandbox_url: null,
  transport_kind: 'http',
  access_role: 'owner',
  owner_username: 'admin',
  created_at: before(600),
  project: {
    project_id: '4f2a9d70-6a51-4a3e-8a1c-6c1d0b5f2e90',
    owner_user_id: '0c7d1a52-2f5d-4a53-9f3e-0f1f6f0f7a01',
    project_name: 'Cat hotel',
    created_at: before(900),
  },
  failure: null,
  steps: [],
  generation: 1,
  waiting: null,
  runtime_events: [],
  recoveries: [],
  idle_timeout_seconds: null,
  used_at: before(60),
  suspended_at: null,
  stopped_reason: null,
  awake_until: null,
  ...what,
})

const PULLING = [
  step('workspace', 34, 31.6),
  step('scheduled', 31.6, 31.2, 'cattery-worker-2'),
  step('image', 31.2, null, 'pulling cattery-opencode:0.2.0'),
]

export const pulling = () => harness({ steps: PULLING })

export const waitingForQuota = () =>
  harness({
    waiting: 'The quota "cattery" is used up: 16Gi of 16Gi limits.memory are used, 2Gi more is needed.',
    steps: [step('workspace', 195, 194.2), step('scheduled', 194.2, null)],
  })

export const imageMissing = () =>
  harness({
    sandbox_status: 'failed',
    failure: 'The image cattery-opencode:0.2.0 was not found. Check that it was pushed, then start the harness again.',
    steps: PULLING,
    runtime_events: [
      event(93, 'Scheduled', 'Assigned cattery-sandboxes/cattery-h-7c1e to cattery-worker-2'),
      event(9, 'BackOff', 'Back-off pulling image "cattery-opencode:0.2.0"', { count: 12, is_warning: true }),
    ],
  })

export const CRASH_LOG = 'error: The configuration is not valid:\n  provider.gateway.models: expected an object'

export const crashed = () =>
  harness({
    sandbox_status: 'failed',
    failure: `OpenCode ended with exit code 1 before it answered.\nThe last lines of its log:\n${CRASH_LOG}\n`,
    steps: [step('workspace', 9, 8), step('scheduled', 8, 7), step('image', 7, 6), step('started', 6, null)],
  })

export const suspended = (reason: 'idle' | 'lease' = 'idle') =>
  harness({ sandbox_status: 'idle', suspended_at: before(7_200), stopped_reason: reason, used_at: before(9_000) })

export const waking = () => harness({ generation: 2, stopped_reason: 'idle', steps: [step('workspace', 3, 2), step('scheduled', 2, null)] })

export const EVICTED = 'Evicted: the node was low on resource: memory.'

export const healing = () =>
  harness({
    generation: 2,
    steps: [step('workspace', 9, 8.9), step('scheduled', 8.9, null)],
    recoveries: [{ at: before(14), reason: EVICTED }],
  })
