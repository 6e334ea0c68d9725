import { MantineProvider } from '@mantine/core'
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { createMemoryHistory, createRootRoute, createRouter, RouterProvider } from '@tanstack/react-router'
import { render, screen } from '@testing-library/react'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { queries } from '../api/queries'
import { violations } from '../app/test-axe'
import type { Harness, Session } from '../api/types'
import { crashed, CRASH_LOG, EVICTED, harness, healing, NOW, pulling, suspended, waitingForQuota, waking } from '../harness/testHarness'
import { SessionState } from './SessionState'

const session = (of: Harness, working = false): Session => ({
  session_id: '8d1b3c1e-8a5f-4f6b-8d55-0b9a4e8c2f10',
  harness_id: of.harness_id,
  title: 'Tidy up',
  status: 'ready',
  phase: null,
  failure: null,
  working,
  created_at: of.created_at,
  last_seen_at: null,
  last_seq: 0,
  harness_session_id: null,
  stopped_at: null,
})

async function show(shown: Harness, working = false) {
  const client = new QueryClient({ defaultOptions: { queries: { staleTime: Infinity } } })
  client.setQueryData(queries.harness(shown.harness_id).queryKey, shown)
  const rootRoute = createRootRoute({
    component: () => (
      <main>
        <SessionState session={session(shown, working)} project={shown.project_id} />
      </main>
    ),
  })
  const router = createRouter({ routeTree: rootRoute, history: createMemoryHistory() })
  await router.load()
  return render(
    <MantineProvider env="test">
      <QueryClientProvider client={client}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </MantineProvider>,
  )
}

beforeEach(() => void vi.useFakeTimers({ now: NOW, toFake: ['Date'] }))
afterEach(() => void vi.useRealTimers())

describe('over the composer', () => {
  it('stands what the start is at', async () => {
    await show(pulling())
    expect(screen.getByText('The sandbox is starting: pulling the image…')).toBeVisible()
  })

  it('stands what the sandbox waits for, calmly, and how to stop it', async () => {
    const { container } = await show(waitingForQuota())
    expect(container).toHaveTextContent('16Gi of 16Gi limits.memory are used')
    expect(container).toHaveTextContent('It starts by itself as soon as it can. Prompts are kept until then.')
    expect(screen.getByRole('button', { name: 'Stop' })).toBeEnabled()
    expect(screen.getByRole('link', { name: 'Details' })).toHaveAttribute('href', expect.stringMatching(/\/h\//))
    expect(await violations(container)).toEqual([])
  })

  it('stands that it is being healed, and of what', async () => {
    const { container } = await show(healing())
    expect(container).toHaveTextContent(`The sandbox was lost and is being started again. ${EVICTED}`)
    expect(await violations(container)).toEqual([])
  })

  it('stands why it failed, in one sentence without the log', async () => {
    const { container } = await show(crashed())
    expect(container).toHaveTextContent('OpenCode ended with exit code 1 before it answered.')
    expect(container).not.toHaveTextContent(CRASH_LOG.slice(0, 20))
    expect(screen.getByRole('button', { name: 'Retry' })).toBeEnabled()
    expect(await violations(container)).toEqual([])
  })

  it('stands that it is suspended, and that a prompt wakes it', async () => {
    const { container } = await show(suspended())
    expect(container).toHaveTextContent('The sandbox is suspended. Nobody used it. The next prompt wakes it up.')
    expect(await violations(container)).toEqual([])
  })

  it('stands that it wakes, from the prompt on', async () => {
    const asleep = await show(suspended(), true)
    expect(asleep.container).toHaveTextContent('Your prompt wakes it up.')
    asleep.unmount()
    await show(waking(), true)
    expect(screen.getByText('The sandbox wakes up: finding a node…')).toBeVisible()
  })

  it('stands nothing to see while all is well, and one live region in every state', async () => {
    const { container } = await show(harness({ sandbox_status: 'ready' }))
    expect(screen.getAllByRole('status')).toHaveLength(1)
    expect(container.querySelector('main')?.children).toHaveLength(1)
  })
})
