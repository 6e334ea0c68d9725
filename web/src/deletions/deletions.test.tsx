import { MantineProvider } from '@mantine/core'
import { ModalsProvider } from '@mantine/modals'
import { notifications, Notifications } from '@mantine/notifications'
import { render, screen, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import type { ReactNode } from 'react'
import { afterEach, describe, expect, it, vi } from 'vitest'
import * as calls from '../api/calls'
import { queryClient } from '../api/link'
import { queries } from '../api/queries'
import type { Deletion, Site } from '../api/types'
import { violations } from '../app/test-axe'
import { DeletionList } from './Deletions'
import { standing, toldDeleted, undoable } from './deletions'

const NOW = Date.parse('2026-11-26T10:00:00Z')

const deletion = (more: Partial<Deletion> = {}): Deletion => ({
  deletion_id: 'd1',
  kind: 'project',
  object_id: 'p1',
  name: 'Cats',
  project_id: 'p1',
  requested_by: 'ada',
  requested_at: '2026-11-26T10:00:00Z',
  due_at: '2026-11-27T10:00:00Z',
  phase: 'grace',
  step: null,
  stuck: [],
  forced: [],
  heir: null,
  committed_at: null,
  ended_at: null,
  ended_by: null,
  may_undo: true,
  may_hurry: true,
  may_retry: false,
  may_force: false,
  ...more,
})

const stuck = () =>
  deletion({
    phase: 'stuck',
    may_undo: false,
    may_hurry: false,
    may_retry: true,
    may_force: true,
    stuck: [
      {
        step: 'deleting the files',
        reason: 'The volume is held by a pod.',
        since: '2026-11-26T10:00:00Z',
        attempts: 5,
        next_try_at: '2026-11-26T10:01:00Z',
      },
    ],
  })

const show = (node: ReactNode) =>
  render(
    <MantineProvider env="test">
      <ModalsProvider>
        <Notifications />
        <main>{node}</main>
      </ModalsProvider>
    </MantineProvider>,
  )

afterEach(() => {
  vi.restoreAllMocks()
  queryClient.clear()
  notifications.clean()
})

describe('how a deletion stands', () => {
  it('is said in words', () => {
    expect(standing(deletion(), NOW)).toBe('goes in 1 day')
    expect(standing(deletion({ phase: 'deleting', step: 'deleting the files' }), NOW)).toBe('deleting the files')
    expect(standing(deletion({ due_at: '2026-11-26T10:00:00Z' }), NOW)).toBe('goes now')
    expect(standing(stuck(), NOW)).toBe('is stuck')
    expect(standing(deletion({ phase: 'undone' }), NOW)).toBe('was brought back')
  })
})

describe('whether a deletion can be undone', () => {
  it('is said as the site has it', () => {
    expect(undoable('project')).toBe('')
    queryClient.setQueryData(queries.site().queryKey, { deletion_grace_seconds: { harness: 0, project: 86_400, user: 7_200 } } as Site)
    expect(undoable('project')).toBe('This can be undone for 1 day.')
    expect(undoable('user')).toBe('This can be undone for 2 hours.')
    expect(undoable('harness')).toBe('This cannot be undone.')
  })
})

describe('the list of what is being deleted', () => {
  it('names what, whose wish and when, and brings it back by keyboard', async () => {
    const undo = vi.spyOn(calls, 'undoDeletion').mockResolvedValue(undefined as never)
    const { container } = show(<DeletionList title="Being deleted" deletions={[deletion()]} />)
    const row = screen.getByRole('listitem', { name: 'project Cats' })
    expect(row).toHaveTextContent('asked for by ada')
    expect(await violations(container)).toEqual([])
    const button = within(row).getByRole('button', { name: 'Undo the deletion of Cats' })
    await userEvent.tab()
    expect(button).toHaveFocus()
    await userEvent.keyboard('{Enter}')
    expect(undo).toHaveBeenCalledWith('d1')
    expect(await screen.findByText('Cats is back')).toBeVisible()
  })

  it('says what is stuck and why, tries again, and has no way back', async () => {
    const retry = vi.spyOn(calls, 'retryDeletion').mockResolvedValue(undefined as never)
    const { container } = show(<DeletionList title="Being deleted" deletions={[stuck()]} />)
    const why = within(screen.getByRole('listitem')).getByRole('status')
    expect(why).toHaveTextContent('Stuck: deleting the files')
    expect(why).toHaveTextContent('The volume is held by a pod.')
    expect(await violations(container)).toEqual([])
    expect(screen.queryByRole('button', { name: /Undo/ })).toBeNull()
    expect(screen.getByRole('button', { name: 'Skip what holds up Cats' })).toBeEnabled()
    await userEvent.click(screen.getByRole('button', { name: 'Try the deletion of Cats again now' }))
    expect(retry).toHaveBeenCalledWith('d1')
  })

  it('keeps who had a step skipped, and why', () => {
    const forced = [{ step: 'deleting the files', reason: 'The disk is gone.', by: 'root', at: '2026-11-26T10:05:00Z' }]
    show(<DeletionList title="Ended" deletions={[deletion({ phase: 'done', forced })]} />)
    expect(screen.getByRole('listitem')).toHaveTextContent('root had a step skipped, “deleting the files”: The disk is gone.')
  })

  it('wants a reason before a step is skipped', async () => {
    const force = vi.spyOn(calls, 'forceDeletion').mockResolvedValue(undefined as never)
    show(<DeletionList title="Being deleted" deletions={[stuck()]} />)
    await userEvent.click(screen.getByRole('button', { name: 'Skip what holds up Cats' }))
    await userEvent.click(await screen.findByRole('button', { name: 'Skip the step' }))
    expect(screen.getByText('Enter a reason')).toBeVisible()
    await userEvent.type(screen.getByLabelText('Reason'), 'The disk is gone.')
    await userEvent.click(screen.getByRole('button', { name: 'Skip the step' }))
    expect(force).toHaveBeenCalledExactlyOnceWith('d1', 'The disk is gone.')
  })

  it('tells in the server’s own words that it is too late', async () => {
    vi.spyOn(calls, 'undoDeletion').mockRejectedValue(new Error('It cannot be undone any more.'))
    show(<DeletionList title="Being deleted" deletions={[deletion()]} />)
    await userEvent.click(screen.getByRole('button', { name: 'Undo the deletion of Cats' }))
    expect(await screen.findByText('It cannot be undone any more.')).toBeVisible()
  })
})

describe('the toast after a deletion', () => {
  it('has the way back where there is a grace', async () => {
    const undo = vi.spyOn(calls, 'undoDeletion').mockResolvedValue(undefined as never)
    vi.spyOn(queryClient, 'fetchQuery').mockResolvedValue([deletion()])
    show(null)
    await toldDeleted('p1', 'Cats was deleted')
    await userEvent.click(await screen.findByRole('button', { name: 'Undo' }))
    expect(undo).toHaveBeenCalledWith('d1')
  })

  it('has none where there is nothing to go back to', async () => {
    vi.spyOn(queryClient, 'fetchQuery').mockResolvedValue([deletion({ may_undo: false, phase: 'deleting' })])
    show(null)
    await toldDeleted('p1', 'Tom was deleted')
    expect(await screen.findByText('Tom was deleted')).toBeVisible()
    expect(screen.queryByRole('button', { name: 'Undo' })).toBeNull()
    expect(queries.deletions().queryKey).toEqual(['deletions'])
  })
})
