import { MantineProvider } from '@mantine/core'
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { render, screen } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { queries } from '../api/queries'
import type { Harness, Site } from '../api/types'
import { violations } from '../app/test-axe'
import { Rest } from './Rest'
import { harness } from './testHarness'

const calls = vi.hoisted(() => ({ keepAwake: vi.fn(), letSleep: vi.fn(), setIdleTimeout: vi.fn() }))
vi.mock('../api/calls', async (original) => ({ ...(await original<object>()), ...calls }))
afterEach(() => vi.clearAllMocks())

function show(shown: Harness, siteTimeout = 1_800) {
  const client = new QueryClient({ defaultOptions: { queries: { staleTime: Infinity } } })
  client.setQueryData(queries.site().queryKey, { idle_timeout_seconds: siteTimeout } as Site)
  return render(
    <MantineProvider env="test">
      <QueryClientProvider client={client}>
        <main>
          <Rest harness={shown} />
        </main>
      </QueryClientProvider>
    </MantineProvider>,
  )
}

describe('when a sandbox rests', () => {
  it('is told as the site says it, and can be put off', async () => {
    const { container } = show(harness({ sandbox_status: 'ready' }))
    expect(container).toHaveTextContent('Suspended after 30 minutes without use.')
    expect(await violations(container)).toEqual([])
    await userEvent.click(screen.getByRole('button', { name: 'Keep awake' }))
    await userEvent.click(await screen.findByRole('menuitem', { name: 'For 4 hours' }))
    expect(calls.keepAwake).toHaveBeenCalledWith(harness().harness_id, 240)
  })

  it('is the owner’s to choose', async () => {
    const { unmount } = show(harness({ idle_timeout_seconds: 3_600 }))
    await userEvent.click(screen.getByRole('button', { name: 'Suspend…' }))
    expect(await screen.findByRole('menuitemradio', { name: 'After 1 hour', checked: true })).toBeVisible()
    await userEvent.click(screen.getByRole('menuitemradio', { name: 'Never' }))
    expect(calls.setIdleTimeout).toHaveBeenCalledWith(harness().harness_id, 0)
    unmount()
    show(harness({ access_role: 'member' }))
    expect(screen.queryByRole('button', { name: 'Suspend…' })).toBeNull()
    expect(screen.getByRole('button', { name: 'Keep awake' })).toBeEnabled()
  })

  it('is never where nothing is suspended', () => {
    const { container } = show(harness(), 0)
    expect(container).toHaveTextContent('Never suspended.')
    expect(screen.queryByRole('button', { name: 'Keep awake' })).toBeNull()
  })

  it('says until when it is kept awake, and lets it sleep again', async () => {
    const { container } = show(harness({ awake_until: '2026-03-10T16:00:00Z' }))
    expect(container).toHaveTextContent(/Kept awake until .*2026/)
    expect(await violations(container)).toEqual([])
    await userEvent.click(screen.getByRole('button', { name: 'Let it sleep' }))
    expect(calls.letSleep).toHaveBeenCalledWith(harness().harness_id)
  })
})
