/**
 * The steps of a sandbox's start as people read them. A cluster has all five; on this machine nothing is
 * scheduled and no image pulled, and what was passed over is left out.
 */
import type { Harness, SandboxStep } from '../api/types'

export type StepState = 'done' | 'running' | 'waiting' | 'failed' | 'todo'

export interface ShownStep {
  name: string
  title: string
  state: StepState
  detail: string
  startedAt: string | null
  finishedAt: string | null
}

interface Words {
  todo: string
  running: string
  done: string
  failed: string
}

const PROCESS: Words = {
  todo: 'Process',
  running: 'Starting the process',
  done: 'Process started',
  failed: 'Process not started',
}
const CONTAINER: Words = {
  todo: 'Container',
  running: 'Starting the container',
  done: 'Container started',
  failed: 'Container not started',
}
const WORKSPACE: Words = {
  todo: 'Workspace',
  running: 'Preparing the workspace',
  done: 'Workspace ready',
  failed: 'Workspace not ready',
}
const VOLUME: Words = { todo: 'Volume', running: 'Binding the volume', done: 'Volume bound', failed: 'Volume not bound' }
const WORDS: [name: string, words: Words, onCluster?: Words][] = [
  ['workspace', WORKSPACE, VOLUME],
  ['scheduled', { todo: 'Place on a node', running: 'Finding a node', done: 'Scheduled', failed: 'Not scheduled' }],
  ['image', { todo: 'Image', running: 'Pulling the image', done: 'Image pulled', failed: 'Image not pulled' }],
  ['started', PROCESS, CONTAINER],
  [
    'answering',
    {
      todo: 'Agent',
      running: 'Waiting for the agent to answer',
      done: 'Agent answers',
      failed: 'Agent did not answer',
    },
  ],
]

/** The steps that were taken, and those still to come. */
export function shownSteps(harness: Harness): ShownStep[] {
  const known = new Map(harness.steps.map((step) => [step.name, step]))
  const reached = WORDS.findLastIndex(([name]) => known.has(name))
  const open = WORDS.findIndex(([name]) => isOpen(known.get(name)))
  const now = open === -1 ? reached + 1 : open
  const onCluster = isOnCluster(harness)
  return WORDS.flatMap(([name, plain, clustered], i) => {
    const step = known.get(name)
    if (!step && (harness.sandbox_status === 'ready' || i <= reached)) return []
    const state = stateOf(harness, step, i === now)
    const words = (onCluster && clustered) || plain
    return [
      {
        name,
        ...wordsOf(state, words, step),
        state,
        startedAt: step?.started_at ?? null,
        finishedAt: step?.finished_at ?? null,
      },
    ]
  })
}

function wordsOf(state: StepState, words: Words, step: SandboxStep | undefined) {
  const detail = step?.detail ?? ''
  if (state === 'done') {
    // A node's name is part of the sentence, and an image that was there was not pulled.
    if (step?.name === 'scheduled' && /^\S+$/.test(detail)) return { title: `Scheduled on ${detail}`, detail: '' }
    if (step?.name === 'image' && detail.startsWith('already')) return { title: 'Image ready', detail }
  }
  if (state === 'done' || state === 'failed') return { title: words[state], detail }
  return { title: step || state === 'waiting' ? words.running : words.todo, detail }
}

/** What it is at, such as "pulling the image"; null between two steps. */
export function stepUnderWay(harness: Harness): string | null {
  const title = shownSteps(harness).find(({ state }) => state === 'running')?.title
  return title ? title.charAt(0).toLowerCase() + title.slice(1) : null
}

/** From the first step's beginning to the last one's end, once it has started. */
export function wholeStart({ steps }: Harness): { from: string; to: string } | null {
  const [first] = steps
  const to = steps.find(({ name }) => name === 'answering')?.finished_at
  return first && to ? { from: first.started_at, to } : null
}

const isOpen = (step: SandboxStep | undefined) => step !== undefined && !step.finished_at

function stateOf({ sandbox_status: status, waiting }: Harness, step: SandboxStep | undefined, isNow: boolean): StepState {
  if (step?.finished_at) return 'done'
  if (isNow && status === 'failed') return step ? 'failed' : 'todo'
  if (isNow && status === 'starting' && waiting !== null) return 'waiting'
  if (!step) return 'todo'
  return status === 'starting' ? 'running' : status === 'ready' ? 'done' : 'todo'
}

function isOnCluster({ steps, runtime_events: events }: Harness): boolean {
  return events.length > 0 || steps.some(({ name }) => name === 'scheduled' || name === 'image')
}
