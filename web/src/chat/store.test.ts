import { beforeEach, describe, expect, it } from 'vitest'
import type { EventData, WireEvent } from './events'
import type { Part, TextPart, ToolPart } from './parts'
import { Transcript, withWhole } from './store'

let flush: (() => void) | null
let log: WireEvent[]
let transcript: Transcript

beforeEach(() => {
  flush = null
  log = []
  transcript = new Transcript((run) => {
    flush = run
  })
})

/** The next event of the log, numbered as the server numbers them. */
function event<K extends keyof EventData>(type: K, data: EventData[K], turn_no = 1): WireEvent {
  const made = { seq: log.length + 1, turn_no, type, data }
  log.push(made)
  return made
}

function frame() {
  const run = flush
  flush = null
  run?.()
}

const parts = () => {
  frame()
  return transcript.getOrder().map((id) => transcript.getPart(id) as Part)
}
const meta = () => {
  frame()
  return transcript.getMeta()
}
const kinds = () => parts().map((p) => p.kind)

const accepted = (turnId: string, text: string, turn = 1) =>
  event('prompt.accepted', { turnId, messageId: `m-${turnId}`, text, username: 'ann' }, turn)

describe('a large event', () => {
  it('is known by its number, and becomes whole with what that says', () => {
    const large = { digest: 'd', bytes: 400_000 }
    event('tool.start', { toolId: 'c', tool: 'write', input: '{"content":"be', large })
    event('tool.done', { toolId: 'c', tool: 'write', output: 'be', ok: true, large })
    expect(transcript.applyAll(log)).toBe(true)
    const [part] = parts() as [ToolPart]
    expect(part).toMatchObject({ input: {}, output: 'be', cut: { seqs: [1, 2], bytes: 800_000 } })
    const start = { toolId: 'c', tool: 'write', input: '{"content":"beginning"}' }
    const done = { toolId: 'c', tool: 'write', output: 'beginning', ok: true, diff: '+a' }
    expect(
      withWhole(part, [
        { seq: 1, turn_no: 1, type: 'tool.start', data: start },
        { seq: 2, turn_no: 1, type: 'tool.done', data: done },
      ]),
    ).toMatchObject({ input: { content: 'beginning' }, output: 'beginning', diff: '+a', state: 'ok' })
  })
})

describe('a turn', () => {
  it('becomes the prompt, the reasoning, the tool, the answer and its end', () => {
    accepted('t1', 'hi')
    event('turn.started', { turnId: 't1' })
    event('message.thinking', { partId: 'p1', text: 'hm' })
    event('tool.start', { toolId: 'c1', tool: 'bash', input: '{"command":"ls"}' })
    event('tool.done', { toolId: 'c1', tool: 'bash', output: 'a\n', ok: true })
    event('message.delta', { partId: 'p2', text: 'Hel' })
    event('message.delta', { partId: 'p2', text: 'lo' })
    event('session.idle', { outcome: 'completed' })
    expect(transcript.applyAll(log)).toBe(true)
    expect(kinds()).toEqual(['user', 'thinking', 'tool', 'text', 'end'])
    const [, thinking, tool, text] = parts() as [Part, TextPart, ToolPart, TextPart]
    expect(thinking).toMatchObject({ text: 'hm', done: true })
    expect(tool).toMatchObject({ state: 'ok', output: 'a\n', input: { command: 'ls' } })
    expect(text).toMatchObject({ text: 'Hello', done: true })
    expect(meta().working).toBe(false)
    expect(transcript.answerOf(1)).toBe('Hello')
  })

  it('shows a failed tool as failed and one that never ended as cut', () => {
    event('tool.start', { toolId: 'a', tool: 'bash', input: '{}' })
    event('tool.done', { toolId: 'a', tool: 'bash', output: 'boom', ok: false })
    event('tool.start', { toolId: 'b', tool: 'bash', input: '{' })
    event('session.idle', { outcome: 'aborted', stoppedBy: 'ann' })
    transcript.applyAll(log)
    expect(parts()).toMatchObject([
      { state: 'failed', output: 'boom' },
      { state: 'cut', input: {} },
      { kind: 'end', outcome: 'aborted', stoppedBy: 'ann' },
    ])
  })

  it('takes a fuller input of a tool that runs and ignores a start that comes after its end', () => {
    event('tool.start', { toolId: 'a', tool: 'edit', input: '{}' })
    event('tool.start', { toolId: 'a', tool: 'edit', input: '{"filePath":"x.py"}' })
    event('tool.done', { toolId: 'a', tool: 'edit', output: '', diff: '--- a' })
    event('tool.start', { toolId: 'a', tool: 'edit', input: '{}' })
    transcript.applyAll(log)
    expect(parts()).toMatchObject([{ state: 'ok', diff: '--- a', input: { filePath: 'x.py' } }])
  })

  it('replaces the text of a part that is reset', () => {
    event('message.delta', { partId: 'p', text: 'wrong' })
    event('message.reset', { partId: 'p', text: 'right', thinking: false })
    event('message.delta', { partId: 'p', text: ' on' })
    transcript.applyAll(log)
    expect(parts()).toMatchObject([{ text: 'right on' }])
  })

  it('keeps the text of a sub-agent apart from that of its parent', () => {
    event('message.delta', { partId: 'p', text: 'a' })
    event('message.delta', { partId: 'q', text: 'x', child: 'kid' })
    event('message.delta', { partId: 'p', text: 'b' })
    transcript.applyAll(log)
    expect(parts()).toMatchObject([
      { text: 'ab', done: false },
      { text: 'x', child: 'kid', done: false },
    ])
    expect(transcript.answerOf(1)).toBe('ab')
  })

  it('keeps a status only until the agent says something', () => {
    event('turn.status', { message: 'Waiting for the sandbox' })
    transcript.applyAll(log)
    expect(meta().status).toBe('Waiting for the sandbox')
    transcript.applyAll([event('message.delta', { partId: 'p', text: 'x' })])
    expect(meta().status).toBeNull()
  })

  it('folds what no one knows and passes over types of a newer server', () => {
    event('harness.unknown', { frameType: 'odd', preview: '{}' })
    const newer = { seq: 2, turn_no: 1, type: 'from.the.future', data: {} }
    expect(transcript.applyAll([...log, newer])).toBe(true)
    expect(kinds()).toEqual(['unknown'])
    expect(transcript.lastSeq).toBe(2)
  })
})

describe('questions', () => {
  const asked = () =>
    event('question.asked', {
      partId: 'q',
      kind: 'permission',
      questions: [{ question: 'Run rm?', header: 'bash', options: [{ label: 'Allow', description: '' }] }],
    })

  it('are open until someone, maybe elsewhere, answers them', () => {
    transcript.applyAll([asked()])
    expect(meta().openQuestions).toEqual(['q'])
    transcript.applyAll([
      event('question.answered', { partId: 'q', answers: [{ question: 'Run rm?', selectedLabels: ['Allow'] }] }),
    ])
    expect(meta().openQuestions).toEqual([])
    expect(parts()).toMatchObject([{ kind: 'question', ask: 'permission', closed: true }])
  })

  it('close with the turn that asked them', () => {
    transcript.applyAll([asked(), event('session.idle', { outcome: 'aborted' })])
    expect(meta().openQuestions).toEqual([])
    expect(parts()[0]).toMatchObject({ closed: true, answers: null })
  })
})

describe('the queue', () => {
  it('holds a prompt sent while a turn runs and shows it in the transcript once that turn is over', () => {
    accepted('t1', 'one')
    event('turn.started', { turnId: 't1' })
    accepted('t2', 'two')
    accepted('t3', 'three')
    transcript.applyAll(log)
    expect(meta().queue.map((p) => p.text)).toEqual(['two', 'three'])
    expect(kinds()).toEqual(['user'])
    transcript.applyAll([
      event('message.delta', { partId: 'p', text: 'x' }),
      event('session.idle', { outcome: 'completed' }),
      event('turn.started', { turnId: 't2' }, 2),
    ])
    expect(kinds()).toEqual(['user', 'text', 'end', 'user'])
    expect(meta()).toMatchObject({ working: true, queue: [{ turnId: 't3' }] })
  })

  it('loses a prompt that was taken back', () => {
    accepted('t1', 'one')
    event('turn.started', { turnId: 't1' })
    accepted('t2', 'two')
    event('prompt.removed', { turnId: 't2' })
    event('session.idle', {})
    transcript.applyAll(log)
    expect(meta()).toMatchObject({ working: false, queue: [] })
    expect(kinds()).toEqual(['user', 'end'])
  })

  it('takes back a prompt that waits alone for the sandbox', () => {
    transcript.applyAll([accepted('t1', 'one'), event('prompt.removed', { turnId: 't1' })])
    expect(meta().working).toBe(false)
    expect(parts()).toEqual([])
  })

  it('shows a prompt as being sent until its own event comes, whichever is first', () => {
    transcript.addPending('k1', 'one')
    expect(meta().pending).toHaveLength(1)
    transcript.confirmPending('k1', 't1')
    expect(meta().pending).toMatchObject([{ turnId: 't1' }])
    transcript.applyAll([accepted('t1', 'one')])
    expect(meta().pending).toEqual([])
    transcript.addPending('k2', 'two')
    transcript.applyAll([accepted('t2', 'two')])
    transcript.confirmPending('k2', 't2')
    expect(meta().pending).toEqual([])
  })
})

describe('the connection', () => {
  const stream = () => {
    accepted('t1', 'hi')
    event('turn.started', { turnId: 't1' })
    for (let i = 0; i < 500; i++) event('message.delta', { partId: 'p', text: `${i} ` })
    event('session.idle', {})
    return log
  }

  it('may be cut anywhere and replay anything: each event counts once', () => {
    const events = stream()
    const whole = new Transcript((run) => run())
    whole.applyAll(events)
    for (let at = 0; at < events.length; at += 37) {
      transcript.applyAll(events.slice(Math.max(0, at - 60), at + 37))
    }
    transcript.applyAll(events)
    frame()
    expect(transcript.lastSeq).toBe(events.length)
    expect(parts()).toEqual(whole.getOrder().map((id) => whole.getPart(id)))
  })

  it('refuses events with a gap before them, so that the caller asks again', () => {
    const events = stream()
    expect(transcript.applyAll(events.slice(0, 10))).toBe(true)
    expect(transcript.applyAll(events.slice(12, 20))).toBe(false)
    expect(transcript.lastSeq).toBe(10)
    expect(transcript.applyAll(events.slice(10))).toBe(true)
    expect(transcript.lastSeq).toBe(events.length)
  })

  it('takes a folded log with gaps up to its floor, and none above', () => {
    const events = stream()
    transcript.applyAll(events.slice(0, 5))
    transcript.reset(400)
    expect(parts()).toEqual([])
    expect(transcript.lastSeq).toBe(0)
    const [first, second, third, ...rest] = events
    const folded = [first, second, third].map((e) => e as WireEvent)
    expect(transcript.applyAll([...folded, ...rest.slice(400 - 3)])).toBe(true)
    expect(transcript.lastSeq).toBe(events.length)
    const later = event('session.idle', { outcome: 'completed' }, 2)
    expect(transcript.applyAll([{ ...later, seq: later.seq + 1 }])).toBe(false)
    transcript.reset(0)
    expect(transcript.applyAll(events.slice(1))).toBe(false)
  })

  it('tells its readers once a frame, and only the rows that changed', () => {
    const events = stream()
    transcript.applyAll(events.slice(0, 3))
    frame()
    const told: string[] = []
    transcript.subscribe(() => told.push('list'))
    transcript.subscribeRow('p')(() => told.push('answer'))
    transcript.subscribeRow('m-t1')(() => told.push('prompt'))
    transcript.applyAll(events.slice(3, 400))
    frame()
    expect(told).toEqual(['answer'])
  })

  it('says nothing of what is only history', () => {
    transcript.applyAll(stream())
    transcript.setLive()
    expect(meta().announcement).toBe('')
    transcript.applyAll([event('session.idle', { outcome: 'failed' }, 2)])
    expect(meta().announcement).toBe('The turn failed.')
  })
})
