import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { announcementOf, dotOf, failureOf, healedFrom, outlookOf, waitingSince, whyOf } from './sandbox'
import { shownSteps, stepUnderWay, wholeStart } from './steps'
import { before, crashed, CRASH_LOG, EVICTED, harness, healing, imageMissing, NOW, pulling, step, suspended, waitingForQuota, waking } from './testHarness'

beforeEach(() => void vi.useFakeTimers({ now: NOW }))
afterEach(() => void vi.useRealTimers())

const titles = (steps: ReturnType<typeof shownSteps>) => steps.map(({ state, title }) => `${state}: ${title}`)

describe('the steps of a start', () => {
  it('name what was done, what goes on and what is to come', () => {
    expect(titles(shownSteps(pulling()))).toEqual([
      'done: Volume bound',
      'done: Scheduled on cattery-worker-2',
      'running: Pulling the image',
      'todo: Container',
      'todo: Agent',
    ])
    expect(stepUnderWay(pulling())).toBe('pulling the image')
  })

  it('leave out what this machine does not have', () => {
    const steps = [step('workspace', 3, 2.9), step('started', 2.9, 2), step('answering', 2, 0.5)]
    const local = harness({ sandbox_status: 'ready', steps })
    expect(titles(shownSteps(local))).toEqual(['done: Workspace ready', 'done: Process started', 'done: Agent answers'])
    expect(wholeStart(local)).toEqual({ from: before(3), to: before(0.5) })
  })

  it('tell at which it failed, and that later ones were not reached', () => {
    expect(titles(shownSteps(imageMissing()))).toEqual([
      'done: Volume bound',
      'done: Scheduled on cattery-worker-2',
      'failed: Image not pulled',
      'todo: Container',
      'todo: Agent',
    ])
  })

  it('tell at which it waits, also before one began', () => {
    expect(titles(shownSteps(waitingForQuota()))[1]).toBe('waiting: Finding a node')
    const refused = harness({ waiting: 'The quota is used up.' })
    expect(titles(shownSteps(refused))[0]).toBe('waiting: Preparing the workspace')
    expect(stepUnderWay(waitingForQuota())).toBeNull()
  })

  it('are all to come where nothing has begun', () => {
    expect(shownSteps(harness({ sandbox_status: 'idle' })).map(({ state }) => state)).toEqual(Array(5).fill('todo'))
  })
})

describe('a failure', () => {
  it('has its sentence and the end of its log apart', () => {
    expect(failureOf(crashed().failure)).toEqual({
      sentence: 'OpenCode ended with exit code 1 before it answered.',
      more: '',
      log: CRASH_LOG,
    })
  })

  it('keeps further lines of its message, and says so when it has none', () => {
    expect(failureOf('It failed.\nTwice.')).toEqual({ sentence: 'It failed.', more: 'Twice.', log: '' })
    expect(failureOf(null).sentence).toMatch(/^It gave no reason/)
  })
})

describe('the state of a sandbox', () => {
  it('is waiting, not failed and not starting, where it waits', () => {
    expect([dotOf(waitingForQuota()), dotOf(harness({ sandbox_status: 'ready', waiting: 'Its node is away.' }))]).toEqual([
      'waiting',
      'waiting',
    ])
    expect(whyOf(waitingForQuota())).toMatch(/^The quota/)
    expect(waitingSince(waitingForQuota())).toBe(before(194.2))
    expect(waitingSince(harness({ sandbox_status: 'ready', waiting: 'Its node is away.' }))).toBeNull()
  })

  it('does not say twice that it goes on by itself', () => {
    expect(outlookOf(waitingForQuota())).toBe('It starts by itself as soon as it can.')
    expect(outlookOf(harness({ waiting: 'Full. It starts by itself when something else stops.' }))).toBe('')
  })

  it('waits to end where something holds its end up', () => {
    const held = harness({ sandbox_status: 'idle', waiting: 'The node cattery-worker-2 does not answer.' })
    expect([dotOf(held), outlookOf(held)]).toEqual(['waiting', 'It ends by itself as soon as it can.'])
  })

  it('is healing while the start after a loss goes on', () => {
    expect([dotOf(healing()), whyOf(healing())]).toEqual(['healing', EVICTED])
    expect(dotOf({ ...healing(), sandbox_status: 'ready' })).toBe('ready')
  })

  it('is suspended, not stopped, where nobody used it, and says why', () => {
    expect([dotOf(suspended()), whyOf(suspended())]).toEqual(['suspended', 'Nobody used it.'])
    expect(whyOf(suspended('lease'))).toMatch(/^No worker of this site/)
    expect(dotOf(harness({ sandbox_status: 'idle' }))).toBe('idle')
    expect(announcementOf(suspended())).toBe('The sandbox is suspended. Nobody used it.')
  })

  it('wakes up where it starts after it was suspended', () => {
    expect([dotOf(waking()), whyOf(waking())]).toEqual(['waking', null])
    expect(announcementOf(waking())).toBe('The sandbox wakes up: finding a node.')
    expect(dotOf({ ...waking(), waiting: 'The quota is used up.' })).toBe('waiting')
    expect(dotOf({ ...waking(), sandbox_status: 'ready', stopped_reason: null })).toBe('ready')
  })

  it('is an ordinary start where somebody started it, long after it was healed', () => {
    expect(healedFrom({ ...healing(), recoveries: [{ at: before(400), reason: EVICTED }] })).toBeNull()
  })

  it('is told to a screen reader in one sentence that does not change while nothing does', () => {
    const first = announcementOf(pulling())
    vi.setSystemTime(NOW + 60_000)
    expect(announcementOf(pulling())).toBe(first)
    expect(first).toBe('The sandbox is starting: pulling the image.')
    expect(announcementOf(crashed())).toBe('The sandbox failed. OpenCode ended with exit code 1 before it answered.')
    expect(announcementOf(healing())).toContain(EVICTED)
    expect(announcementOf(waitingForQuota())).toMatch(/^The sandbox waits: The quota/)
  })
})
