import { MantineProvider } from '@mantine/core'
import { ModalsProvider, modals } from '@mantine/modals'
import { QueryClientProvider } from '@tanstack/react-query'
import { render, screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import type { ReactNode } from 'react'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { deleteUser } from '../api/calls'
import { queryClient } from '../api/link'
import { queries } from '../api/queries'
import type { AdminUser, Site, User } from '../api/types'
import { Users } from './Users'

vi.mock('./AdminPage', () => ({ AdminPage: ({ children }: { children: ReactNode }) => <main>{children}</main> }))
vi.mock('../api/calls', () => ({ changeUser: vi.fn(), createUser: vi.fn(), deleteUser: vi.fn() }))

const user = (user_id: string, username: string): AdminUser => ({
  user_id,
  username,
  is_admin: username === 'root',
  created_at: '2026-11-26T10:00:00Z',
  last_login_at: null,
})

const show = () => {
  queryClient.setDefaultOptions({ queries: { staleTime: Infinity, enabled: false } })
  queryClient.setQueryData(queries.adminUsers().queryKey, [user('u0', 'root'), user('u1', 'bea'), user('u2', 'cleo')])
  queryClient.setQueryData(queries.me().queryKey, { user_id: 'u0', username: 'root', is_admin: true } as User)
  queryClient.setQueryData(queries.site().queryKey, { deletion_grace_seconds: { harness: 0, project: 0, user: 86_400 } } as Site)
  vi.spyOn(queryClient, 'fetchQuery').mockResolvedValue([])
  render(
    <QueryClientProvider client={queryClient}>
      <MantineProvider env="test">
        <ModalsProvider>
          <Users />
        </ModalsProvider>
      </MantineProvider>
    </QueryClientProvider>,
  )
}

const askToDelete = async (name: string) => {
  await userEvent.click(screen.getByRole('button', { name: `Delete ${name}` }))
  return screen.findByRole('dialog')
}

afterEach(() => {
  modals.closeAll()
  vi.restoreAllMocks()
  vi.clearAllMocks()
  queryClient.clear()
})

describe('a user who is deleted', () => {
  it('has projects that can go to any other user', async () => {
    show()
    const dialog = await askToDelete('bea')
    expect(dialog).toHaveTextContent('This can be undone for 1 day.')
    const heir = within(dialog).getByLabelText('Projects that they own')
    expect(within(heir).getAllByRole('option').map((option) => option.textContent)).toEqual([
      'are deleted with files, harnesses and sessions',
      'go to root',
      'go to cleo',
    ])
  })

  it('has projects that go to whom the admin chooses', async () => {
    show()
    const dialog = await askToDelete('bea')
    await userEvent.selectOptions(within(dialog).getByLabelText('Projects that they own'), 'go to cleo')
    await userEvent.click(within(dialog).getByRole('button', { name: 'Delete user' }))
    await waitFor(() => expect(deleteUser).toHaveBeenCalledExactlyOnceWith('u1', 'u2'))
  })

  it('takes them along where nobody is chosen, or no longer', async () => {
    show()
    const dialog = await askToDelete('bea')
    const heir = within(dialog).getByLabelText('Projects that they own')
    await userEvent.selectOptions(heir, 'go to cleo')
    await userEvent.selectOptions(heir, 'are deleted with files, harnesses and sessions')
    await userEvent.click(within(dialog).getByRole('button', { name: 'Delete user' }))
    await waitFor(() => expect(deleteUser).toHaveBeenCalledExactlyOnceWith('u1', null))
  })

  it('is never oneself', () => {
    show()
    expect(screen.queryByRole('button', { name: 'Delete root' })).toBeNull()
  })
})
