import { MantineProvider } from '@mantine/core'
import { QueryClient, QueryClientProvider, useQuery } from '@tanstack/react-query'
import { act, render, screen } from '@testing-library/react'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { ApiError } from '../api/client'
import { patient } from '../api/patience'
import { Loaded } from './Loaded'

const PROGRESS = 'The file manager of this project is starting.'
const MESSAGE = `${PROGRESS} Try again in a few seconds.`

function Listing({ read }: { read: () => Promise<string> }) {
  const query = useQuery({ queryKey: ['files'], queryFn: read, ...patient() })
  return <Loaded query={query}>{(data) => <p>{data}</p>}</Loaded>
}

const show = (read: () => Promise<string>) =>
  render(
    <MantineProvider env="test">
      <QueryClientProvider client={new QueryClient()}>
        <Listing read={read} />
      </QueryClientProvider>
    </MantineProvider>,
  )

const pass = (ms: number) => act(() => vi.advanceTimersByTimeAsync(ms))

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

it('shows what is not ready yet as progress, and then what it is', async () => {
  let tries = 0
  show(async () => {
    if (++tries < 3) throw new ApiError(503, MESSAGE, 'unavailable')
    return 'README.md'
  })
  await pass(100)
  expect(screen.getByRole('status').textContent).toBe(PROGRESS)
  expect(screen.queryByRole('button')).toBeNull()
  await pass(3_000)
  expect(screen.getByText('README.md')).toBeVisible()
})

it('offers to retry after a minute in vain', async () => {
  show(() => Promise.reject(new ApiError(503, MESSAGE, 'unavailable')))
  await pass(65_000)
  expect(screen.getByRole('heading', { name: 'Not ready yet' })).toBeVisible()
  expect(screen.getByText(MESSAGE)).toBeVisible()
  await act(async () => screen.getByRole('button', { name: 'Retry' }).click())
  await pass(100)
  expect(screen.getByRole('status').textContent).toBe(PROGRESS)
})

it('shows a refusal at once', async () => {
  show(() => Promise.reject(new ApiError(403, 'You may not see this project.', 'forbidden')))
  await pass(100)
  expect(screen.getByText('You may not see this project.')).toBeVisible()
})
