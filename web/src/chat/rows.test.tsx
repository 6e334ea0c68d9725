import { MantineProvider } from '@mantine/core'
import { render, screen } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import type { ReactNode } from 'react'
import { describe, expect, it, vi } from 'vitest'
import { readEvent } from '../api/calls'
import { violations } from '../app/test-axe'
import { GrowingBlocks } from './blocks'
import { Markdown } from './Markdown'
import type { ToolPart } from './parts'
import { PartView } from './Row'
import { SessionContext } from './SessionContext'
import { Transcript } from './store'

const show = (node: ReactNode) =>
  render(
    <MantineProvider env="test">
      <main>{node}</main>
    </MantineProvider>,
  )

const tool = (what: Partial<ToolPart>): ToolPart => ({
  kind: 'tool',
  id: 'c',
  turnNo: 1,
  tool: 'bash',
  input: { command: 'pytest -q' },
  rawInput: '',
  output: '3 passed',
  state: 'ok',
  ...what,
})

vi.mock('../api/calls', () => ({ readEvent: vi.fn() }))

describe('a tool card', () => {
  it('shows the beginning of a large output and reads the rest when asked', async () => {
    const data = { toolId: 'c', tool: 'bash', output: 'the beginning and the end', ok: true }
    vi.mocked(readEvent)
      .mockRejectedValueOnce(new Error('away'))
      .mockResolvedValueOnce({ seq: 7, turn_no: 1, type: 'tool.done', data })
    const part = tool({ output: 'the beginning', cut: { seqs: [7], bytes: 3 * 1024 ** 2 }, state: 'failed' })
    const { container } = show(
      <SessionContext.Provider value={{ sessionId: 's', transcript: new Transcript() }}>
        <PartView part={part} />
      </SessionContext.Provider>,
    )
    const button = screen.getByRole('button', { name: 'Load the rest (3.0 MiB in all)' })
    expect(await violations(container)).toEqual([])
    await userEvent.click(button)
    expect(await screen.findByRole('alert')).toHaveTextContent('could not be read')
    await userEvent.click(button)
    expect(await screen.findByText('the beginning and the end')).toBeVisible()
    expect(readEvent).toHaveBeenLastCalledWith('s', 7)
    expect(screen.queryByRole('button', { name: /Load the rest/ })).toBeNull()
  })

  it('opens with the keyboard and has no accessibility fault', async () => {
    const { container } = show(<PartView part={tool({})} />)
    screen.getByRole('button', { expanded: false }).focus()
    await userEvent.keyboard('{Enter}')
    expect(screen.getByLabelText('Output')).toHaveTextContent('3 passed')
    expect(await violations(container)).toEqual([])
  })

  it('says in words that it failed, and shows why', () => {
    show(<PartView part={tool({ state: 'failed', output: 'exit code 1' })} />)
    expect(screen.getByRole('region', { name: 'Tool bash failed' })).toHaveTextContent('exit code 1')
    expect(screen.getByText('failed')).toBeVisible()
  })

  it('shows the lines that were read under their numbers', async () => {
    const parsed = { path: 'a.py', fileType: 'file' as const, lines: [{ n: 7, text: 'import os' }], totalLines: 40 }
    show(<PartView part={tool({ tool: 'read', input: { filePath: 'a.py' }, parsed })} />)
    await userEvent.click(screen.getByRole('button'))
    expect(screen.getByLabelText('Lines read')).toHaveTextContent('7import os')
    expect(screen.getByText('39 more lines')).toBeVisible()
  })
})

describe('an event that nobody knows', () => {
  const part = { kind: 'unknown' as const, id: 'u', turnNo: 1, frameType: 'hologram.shown', preview: '{"n":1}' }

  it('is one folded line that says its type', async () => {
    const { container } = show(<PartView part={part} />)
    expect(screen.getByRole('region', { name: 'Unknown event hologram.shown' })).toBeVisible()
    expect(screen.getByRole('button', { name: 'Unknown event hologram.shown', expanded: false })).toBeVisible()
    expect(screen.queryByText('{"n":1}')).toBeNull()
    expect(await violations(container)).toEqual([])
  })

  it('opens and closes with the keyboard, and what it holds can be reached', async () => {
    const { container } = show(<PartView part={part} />)
    await userEvent.tab()
    await userEvent.keyboard('{Enter}')
    const head = screen.getByRole('button', { expanded: true })
    expect(document.getElementById(head.getAttribute('aria-controls') ?? '')).toHaveTextContent('{"n":1}')
    expect(await violations(container)).toEqual([])
    await userEvent.tab()
    expect(screen.getByRole('group', { name: 'What it sent' })).toHaveFocus()
    await userEvent.tab({ shift: true })
    await userEvent.keyboard(' ')
    expect(screen.queryByText('{"n":1}')).toBeNull()
  })

  it('shows what it holds as text, never as HTML', async () => {
    const { container } = show(<PartView part={{ ...part, preview: '<img src=x onerror=alert(1)>' }} />)
    await userEvent.click(screen.getByRole('button'))
    expect(container.querySelector('img')).toBeNull()
    expect(screen.getByText('<img src=x onerror=alert(1)>')).toBeVisible()
  })
})

describe('a question', () => {
  it('may be sent once something was chosen, and has no accessibility fault', async () => {
    const questions = [
      { question: 'Which database?', header: 'Storage', options: [{ label: 'SQLite', description: 'a file' }] },
    ]
    const { container } = show(
      <PartView part={{ kind: 'question', id: 'q', turnNo: 1, ask: 'question', questions, answers: null, closed: false }} />,
    )
    expect(screen.getByRole('button', { name: 'Answer' })).toBeDisabled()
    await userEvent.click(screen.getByRole('radio', { name: 'SQLite' }))
    expect(screen.getByRole('button', { name: 'Answer' })).toBeEnabled()
    expect(await violations(container)).toEqual([])
  })
})

describe('Markdown of a model', () => {
  it('never becomes HTML, a script or a request to elsewhere', () => {
    const text = '<img src=x onerror=alert(1)> [a](javascript:alert(1)) ![p](https://example.com/p.png)'
    const { container } = show(<Markdown done text={text} />)
    expect(container.querySelector('img')).toBeNull()
    expect(container.innerHTML).not.toContain('javascript:')
  })

  it('closes what is half written while it streams', () => {
    const { container } = show(<Markdown done={false} text="Some **bold" />)
    expect(container.querySelector('strong')).toHaveTextContent('bold')
  })

  it('is cut into the same blocks however it arrives', () => {
    const text = '# T\n\nOne *two*.\n\n- a\n- b\n\n```py\nx = 1\n\ny = 2\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n'.repeat(30)
    const growing = new GrowingBlocks()
    for (let at = 0; at < text.length; at += 17) growing.update(text.slice(0, at))
    expect(growing.update(text).join('')).toBe(text)
    expect(growing.update(text)).toEqual(new GrowingBlocks().update(text))
  })

  it('starts over when its text was replaced', () => {
    const blocks = new GrowingBlocks()
    blocks.update('a long first text\n\nwith two blocks')
    expect(blocks.update('short')).toEqual(['short'])
  })
})
