import { MantineProvider } from '@mantine/core'
import { act, render, screen, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import type { ReactNode } from 'react'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { violations } from '../app/test-axe'
import { StatusDot } from '../ui/StatusDot'
import { SandboxEvents } from './SandboxEvents'
import { SandboxFailure } from './SandboxFailure'
import { HealingNotice, Recoveries, SuspendedNotice, WaitingNotice } from './SandboxNotices'
import { SandboxSteps } from './SandboxSteps'
import { before, crashed, CRASH_LOG, EVICTED, event, harness, healing, imageMissing, NOW, pulling, suspended, waitingForQuota } from './testHarness'
import { Entries } from './Timeline'

const show = (node: ReactNode) =>
  render(
    <MantineProvider env="test">
      <main>{node}</main>
    </MantineProvider>,
  )

const at = (now: number) => vi.useFakeTimers({ now, toFake: ['Date', 'setInterval', 'clearInterval'] })
afterEach(() => void vi.useRealTimers())

describe('the timeline of a start', () => {
  it('has a clock that runs at the step under way, and does not read it out', () => {
    at(NOW)
    show(<SandboxSteps harness={pulling()} />)
    const clock = screen.getByRole('timer')
    expect(clock).toHaveTextContent('31 s')
    act(() => void vi.advanceTimersByTime(2_000))
    expect(clock).toHaveTextContent('33 s')
    expect(clock).toHaveAttribute('aria-live', 'off')
    expect(screen.getByText('Scheduled on cattery-worker-2')).toBeVisible()
  })

  it('says in words at which step it failed or waits, and has no accessibility fault', async () => {
    const { container, rerender } = show(<SandboxSteps harness={imageMissing()} />)
    const [, , image] = screen.getAllByRole('listitem')
    expect(image).toHaveTextContent('Image not pulledfailed here')
    expect(await violations(container)).toEqual([])
    rerender(
      <MantineProvider env="test">
        <SandboxSteps harness={waitingForQuota()} />
      </MantineProvider>,
    )
    expect(screen.getAllByRole('listitem')[1]).toHaveTextContent('Finding a nodewaiting')
    expect(screen.queryByText('failed here')).toBeNull()
  })
})

describe('a sandbox that waits', () => {
  it('is a calm notice with its reason, since when, and a way to stop it for the owner', async () => {
    at(NOW)
    const { container } = show(<WaitingNotice harness={waitingForQuota()} />)
    expect(container).toHaveTextContent('16Gi of 16Gi limits.memory are used')
    expect(container).toHaveTextContent('(3 min 14 s). It starts by itself as soon as it can.')
    expect(screen.getByRole('button', { name: 'Stop' })).toBeEnabled()
    expect(screen.queryByRole('alert')).toBeNull()
    vi.useRealTimers()
    expect(await violations(container)).toEqual([])
  })

  it('cannot be stopped by a member', () => {
    show(<WaitingNotice harness={{ ...waitingForQuota(), access_role: 'member' }} />)
    expect(screen.queryByRole('button')).toBeNull()
  })

  it('has a dot whose label says what for', () => {
    show(<StatusDot state="waiting" of="sandbox" why="The quota is used up." />)
    expect(screen.getByRole('img', { name: 'sandbox waiting: The quota is used up.' })).toBeVisible()
  })
})

describe('a sandbox that is suspended', () => {
  it('says why, since when, and what wakes it', async () => {
    at(NOW)
    const { container } = show(<SuspendedNotice harness={suspended()} />)
    expect(container).toHaveTextContent('Nobody used it. Files and conversations are kept; a prompt, a terminal or Start wakes it up.')
    expect(container).toHaveTextContent('It was suspended 2 h ago.')
    vi.useRealTimers()
    expect(await violations(container)).toEqual([])
  })

  it('is not one that somebody stopped', () => {
    const { container } = show(<SuspendedNotice harness={harness({ sandbox_status: 'idle' })} />)
    expect(container.querySelector('main')).toBeEmptyDOMElement()
  })
})

describe('the timeline of a harness', () => {
  it('tells what happened, who did it and when, and has no accessibility fault', async () => {
    at(NOW)
    const { container } = show(
      <Entries
        entries={[
          { entry_id: 3, at: before(30), kind: 'woken', by: 'ada', detail: 'By a prompt.' },
          { entry_id: 2, at: before(7_200), kind: 'suspended', by: null, detail: 'Nobody used it for 30 minutes.' },
          { entry_id: 1, at: before(9_000), kind: 'moved_house', by: 'bob', detail: null },
        ]}
      />,
    )
    const [woken, asleep, unknown] = screen.getAllByRole('listitem')
    expect(woken).toHaveTextContent('Woken by ada30 s agoBy a prompt.')
    expect(asleep).toHaveTextContent('Suspended2 h agoNobody used it for 30 minutes.')
    expect(unknown).toHaveTextContent('moved house by bob')
    vi.useRealTimers()
    expect(await violations(container)).toEqual([])
  })

  it('says so where there is none', () => {
    show(<Entries entries={[]} />)
    expect(screen.getByText('Nothing has happened yet.')).toBeVisible()
  })
})

describe('a sandbox that failed', () => {
  it('shows the sentence, the end of the log and a way to retry, without an accessibility fault', async () => {
    const { container } = show(<SandboxFailure harness={crashed()} />)
    expect(screen.getByText('OpenCode ended with exit code 1 before it answered.')).toBeVisible()
    expect(screen.getByLabelText('The last lines of its log').textContent).toBe(CRASH_LOG)
    expect(screen.getByRole('button', { name: 'Copy these lines' })).toBeEnabled()
    expect(screen.getByRole('button', { name: 'Retry' })).toBeEnabled()
    expect(await violations(container)).toEqual([])
  })

  it('shows what the cluster said at once where there is no log', () => {
    show(<SandboxFailure harness={imageMissing()} />)
    expect(screen.queryByText('The last lines of its log')).toBeNull()
    expect(screen.getByText('Back-off pulling image "cattery-opencode:0.2.0"')).toBeVisible()
  })
})

describe('the events of a cluster', () => {
  it('tell warnings by word, repeats by count, and the exact time on hover', () => {
    at(NOW)
    show(<SandboxEvents open events={imageMissing().runtime_events} />)
    expect(screen.getByText('What the cluster said (2, 1 warning)')).toBeVisible()
    const [, backOff] = screen.getAllByRole('listitem')
    expect(backOff).toHaveTextContent('BackOff×129 s ago')
    expect(within(backOff as HTMLElement).getByRole('img', { name: 'warning' })).toBeVisible()
    expect(screen.getByText('9 s ago')).toHaveAttribute('title', expect.stringMatching(/:51/))
  })

  it('unfold, and stay as the person left them when more come', async () => {
    const events = [event(5, 'Pulling', 'Pulling image')]
    const { container, rerender } = show(<SandboxEvents open={false} events={events} />)
    const fold = container.querySelector('details') as HTMLDetailsElement
    expect(fold.open).toBe(false)
    await userEvent.click(screen.getByText(/What the cluster said/))
    rerender(
      <MantineProvider env="test">
        <main>
          <SandboxEvents open={false} events={[...events, event(1, 'Pulled', 'Pulled image')]} />
        </main>
      </MantineProvider>,
    )
    expect(fold.open).toBe(true)
    expect(screen.getByText('What the cluster said (2)')).toBeVisible()
  })
})

describe('a sandbox that was healed', () => {
  it('says how often, when last and why', async () => {
    at(NOW)
    const recoveries = [
      { at: before(500), reason: 'The pod was deleted.' },
      { at: before(310), reason: EVICTED },
    ]
    const { container } = show(<Recoveries harness={harness({ sandbox_status: 'ready', recoveries })} />)
    expect(container).toHaveTextContent(`Healed by itself 2 times, last 5 min ago: ${EVICTED}`)
    vi.useRealTimers()
    expect(await violations(container)).toEqual([])
  })

  it('does not count the loss that is being healed now, which has a notice of its own', () => {
    at(NOW)
    const { container } = show(<Recoveries harness={healing()} />)
    expect(container.querySelector('main')).toBeEmptyDOMElement()
    show(<HealingNotice harness={healing()} />)
    expect(screen.getByText(/is being started again/)).toBeVisible()
  })

  it('does not say that it was healed where it failed in the end', () => {
    const recoveries = [{ at: before(310), reason: EVICTED }]
    show(<Recoveries harness={harness({ sandbox_status: 'failed', recoveries })} />)
    expect(screen.getByText(/^Started again by itself once/)).toBeVisible()
  })
})
