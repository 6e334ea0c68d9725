import { MantineProvider } from '@mantine/core'
import { ModalsProvider } from '@mantine/modals'
import { QueryClientProvider } from '@tanstack/react-query'
import { render, screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import type { ReactNode } from 'react'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { addModel, makeDefaultModel, removeModel, resetModels } from '../api/calls'
import { ApiError } from '../api/client'
import { queryClient } from '../api/link'
import { queries } from '../api/queries'
import type { ModelCatalog } from '../api/types'
import { violations } from '../app/test-axe'
import { Models } from './Models'

vi.mock('./AdminPage', () => ({
  AdminPage: ({ actions, children }: { actions: ReactNode; children: ReactNode }) => (
    <main>
      <h1>Administration</h1>
      {actions}
      {children}
    </main>
  ),
}))
vi.mock('../api/calls', () => ({ addModel: vi.fn(), makeDefaultModel: vi.fn(), removeModel: vi.fn(), resetModels: vi.fn() }))

const CATALOG: ModelCatalog = {
  models: [
    { id: 'claude-sonnet-4-6', family: 'anthropic', default: true },
    { id: 'qwen3/coder:30b', family: 'openai', default: false },
  ],
  is_edited: false,
}

const show = (catalog = CATALOG) => {
  queryClient.setDefaultOptions({ queries: { staleTime: Infinity, enabled: false } })
  queryClient.setQueryData(queries.modelCatalog().queryKey, catalog)
  return render(
    <QueryClientProvider client={queryClient}>
      <MantineProvider env="test">
        <ModalsProvider>
          <Models />
        </ModalsProvider>
      </MantineProvider>
    </QueryClientProvider>,
  )
}
const row = (name: string) => screen.getByRole('row', { name: new RegExp(name) })
const button = (name: string) => screen.getByRole('button', { name })

afterEach(() => {
  vi.clearAllMocks()
  queryClient.clear()
})

describe('the models of the site', () => {
  it('are listed with their API and the default, without an accessibility fault', async () => {
    const { container } = show()
    expect(row('claude-sonnet-4-6')).toHaveTextContent('claude-sonnet-4-6defaultAnthropic')
    expect(row('qwen3')).toHaveTextContent('qwen3/coder:30bOpenAI')
    expect(within(row('claude-sonnet-4-6')).queryByRole('button', { name: /the default/ })).toBeNull()
    expect(screen.queryByRole('button', { name: 'Back to the settings' })).toBeNull()
    expect(await violations(container)).toEqual([])
  })

  it('get another default', async () => {
    show()
    await userEvent.click(button('Make qwen3/coder:30b the default'))
    expect(makeDefaultModel).toHaveBeenCalledWith('qwen3/coder:30b')
  })

  it('are taken away after a question, and the last one not at all', async () => {
    const { unmount } = show()
    await userEvent.click(button('Remove qwen3/coder:30b'))
    const dialog = await screen.findByRole('dialog')
    expect(dialog).toHaveTextContent('Harnesses that have it keep it.')
    await userEvent.click(within(dialog).getByRole('button', { name: 'Remove model' }))
    await waitFor(() => expect(removeModel).toHaveBeenCalledWith('qwen3/coder:30b'))
    unmount()
    show({ ...CATALOG, models: CATALOG.models.slice(0, 1) })
    expect(screen.queryByRole('button', { name: /^Remove/ })).toBeNull()
  })

  it('get one more, whose API is told while it is typed', async () => {
    show()
    await userEvent.click(button('Add model'))
    const dialog = await screen.findByRole('dialog')
    const id = within(dialog).getByLabelText('Model id')
    await userEvent.type(id, 'claude-next')
    expect(id).toHaveAccessibleDescription('Spoken to over the Anthropic API.')
    await userEvent.click(within(dialog).getByLabelText('Default for new harnesses'))
    await userEvent.click(within(dialog).getByRole('button', { name: 'Add model' }))
    expect(addModel).toHaveBeenCalledWith('claude-next', true)
  })

  it('say at the field what is wrong with one', async () => {
    vi.mocked(addModel).mockRejectedValue(new ApiError(409, 'The model b is offered already.', 'conflict'))
    show()
    await userEvent.click(button('Add model'))
    const dialog = await screen.findByRole('dialog')
    const id = within(dialog).getByLabelText('Model id')
    await userEvent.type(id, 'b c')
    await userEvent.click(within(dialog).getByRole('button', { name: 'Add model' }))
    expect(await within(dialog).findByText('A model id has no blanks in it')).toBeVisible()
    await userEvent.clear(id)
    await userEvent.type(id, 'b')
    await userEvent.click(within(dialog).getByRole('button', { name: 'Add model' }))
    expect(await within(dialog).findByText('The model b is offered already.')).toBeVisible()
  })

  it('go back to the settings once they were edited', async () => {
    show({ ...CATALOG, is_edited: true })
    await userEvent.click(button('Back to the settings'))
    expect(resetModels).toHaveBeenCalled()
  })
})
