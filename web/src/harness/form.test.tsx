import { MantineProvider } from '@mantine/core'
import { QueryClientProvider } from '@tanstack/react-query'
import { render, screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createHarness } from '../api/calls'
import { queryClient } from '../api/link'
import { queries } from '../api/queries'
import type { HarnessType, Model, Site } from '../api/types'
import { violations } from '../app/test-axe'
import { familyProblem, modelsFor } from './families'
import { HarnessForm } from './HarnessForm'
import { harness } from './testHarness'

vi.mock('@tanstack/react-router', () => ({ useNavigate: () => () => Promise.resolve() }))
vi.mock('../api/calls', () => ({ createHarness: vi.fn() }))

const type = (id: string, what: Partial<HarnessType> = {}): HarnessType => ({
  id,
  display_name: id === 'codex' ? 'Codex' : id,
  description: `What ${id} is.`,
  transport_kind: 'http',
  version: '1.2.3',
  families: ['anthropic', 'openai'],
  capabilities: ['questions', 'thinking'],
  available: true,
  reason: null,
  ...what,
})

const TYPES = [
  type('opencode'),
  type('later', { available: false, reason: 'later cannot run in this version of Cattery yet.' }),
  type('codex', { transport_kind: 'terminal', families: ['openai'], capabilities: [] }),
]
const MODELS: Model[] = [
  { id: 'claude-sonnet-4-6', family: 'anthropic', default: true },
  { id: 'gpt-5.4', family: 'openai', default: false },
  { id: 'gpt-5.5', family: 'openai', default: false },
]
const SITE: Site = {
  version: '1',
  demo_model: false,
  demo_hint: null,
  isolation: { confined: true, summary: 'walls' },
  temporal_ui_url: null,
  idle_timeout_seconds: 1_800,
  deletion_grace_seconds: { harness: 0, project: 86_400, user: 86_400 },
  harness_types: TYPES,
}

const close = vi.fn()
const show = (types = TYPES) => {
  queryClient.setQueryData(queries.site().queryKey, { ...SITE, harness_types: types })
  queryClient.setQueryData(queries.models().queryKey, MODELS)
  return render(
    <QueryClientProvider client={queryClient}>
      <MantineProvider env="test">
        <main>
          <HarnessForm project="p" close={close} />
        </main>
      </MantineProvider>
    </QueryClientProvider>,
  )
}
const radio = (name: string | RegExp) => screen.getByRole('radio', { name })
const models = () => within(screen.getByRole('radiogroup', { name: 'Model' })).getAllByRole('radio')
const sent = () => vi.mocked(createHarness).mock.calls.at(-1)?.[1]

beforeEach(() => void vi.mocked(createHarness).mockResolvedValue(harness()))
afterEach(() => {
  vi.clearAllMocks()
  queryClient.clear()
})

describe('the form of a new harness', () => {
  it('has opencode and the default model chosen, and no accessibility fault', async () => {
    const { container } = show()
    expect(radio('opencode')).toBeChecked()
    expect(radio('opencode')).toHaveAccessibleDescription('What opencode is. Chat, 1.2.3.')
    expect(radio(/claude-sonnet-4-6/)).toBeChecked()
    expect(screen.getByText('With questions, thinking.')).toBeVisible()
    expect(await violations(container)).toEqual([])
    await userEvent.click(screen.getByRole('button', { name: 'Create harness' }))
    await waitFor(() => expect(close).toHaveBeenCalled())
    expect(sent()).toEqual({ harness_name: null, type: 'opencode', model: 'claude-sonnet-4-6', env_vars: {} })
  })

  it('lets the keyboard pass by a type that cannot run, which says why', async () => {
    show()
    radio('opencode').focus()
    await userEvent.keyboard('{ArrowRight}')
    expect(radio('later')).toHaveFocus()
    expect(radio('later')).not.toBeChecked()
    expect(radio('later')).toHaveAttribute('aria-disabled', 'true')
    expect(radio('later')).toHaveAccessibleDescription(/later cannot run in this version/)
    await userEvent.keyboard('{ArrowRight}')
    expect(radio('Codex')).toBeChecked()
  })

  it('offers only models that the type speaks to, and chooses one of them', async () => {
    show()
    await userEvent.click(radio('Codex'))
    expect(models().map((card) => card.textContent)).toEqual(['gpt-5.4OpenAI', 'gpt-5.5OpenAI', 'CustomAny other id'])
    expect(radio(/gpt-5.4/)).toBeChecked()
    await userEvent.click(screen.getByRole('button', { name: 'Create harness' }))
    await waitFor(() => expect(sent()).toMatchObject({ type: 'codex', model: 'gpt-5.4' }))
  })

  it('says of an id of its own that the type does not speak to it', async () => {
    show()
    await userEvent.click(radio('Codex'))
    await userEvent.click(radio(/Custom/))
    await userEvent.type(screen.getByLabelText('Model id'), 'claude-next')
    await userEvent.click(screen.getByRole('button', { name: 'Create harness' }))
    expect(await screen.findByText('Codex speaks to OpenAI models only; this id is one of Anthropic’s')).toBeVisible()
    expect(createHarness).not.toHaveBeenCalled()
  })

  it('chooses the first type that runs where opencode does not, and none where none does', () => {
    show([type('opencode', { available: false }), type('codex')])
    expect(radio('Codex')).toBeChecked()
    expect(screen.getByRole('button', { name: 'Create harness' })).toBeEnabled()
  })

  it('cannot be sent where no type runs', () => {
    show([type('opencode', { available: false })])
    expect(screen.getByRole('button', { name: 'Create harness' })).toBeDisabled()
  })
})

describe('families', () => {
  it('follow from the id, as on the server', () => {
    const [opencode, , codex] = TYPES
    expect(modelsFor(codex, MODELS).map(({ id }) => id)).toEqual(['gpt-5.4', 'gpt-5.5'])
    expect(modelsFor(undefined, MODELS)).toEqual(MODELS)
    expect(familyProblem(codex, 'qwen3/coder:30b')).toBeNull()
    expect(familyProblem(opencode, 'claude-x')).toBeNull()
    expect(familyProblem(codex, 'claude-x')).toMatch(/OpenAI models only/)
  })
})
