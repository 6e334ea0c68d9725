/**
 * A session's transcript, built from its event log and testable without React.
 *
 * Events change a pending state at once; subscribers are told at most once a frame, and only the rows
 * whose part changed are told. Applying is idempotent: an event at or below `lastSeq` is ignored, so
 * a reconnect may replay as much as it likes. A gap is refused, and the caller asks again.
 */
import type { Large, LogEvent, Todo, WireEvent } from './events'
import type { Part, ToolPart, UserPart } from './parts'

export interface QueuedPrompt {
  turnId: string
  text: string
  username: string
}

/** A prompt that was sent from this tab and that the log does not show yet. */
export interface PendingPrompt {
  key: string
  text: string
  turnId: string | null
}

export interface Meta {
  /** The log was read to its end once; until then the transcript is history being loaded. */
  live: boolean
  working: boolean
  status: string | null
  title: string | null
  queue: QueuedPrompt[]
  pending: PendingPrompt[]
  todos: Todo[]
  usage: { inputTokens: number; outputTokens: number; cost: number | null } | null
  openQuestions: string[]
  /** Said to a screen reader: the last thing of note, never the text as it streams. */
  announcement: string
}

const EMPTY: Meta = {
  live: false,
  working: false,
  status: null,
  title: null,
  queue: [],
  pending: [],
  todos: [],
  usage: null,
  openQuestions: [],
  announcement: '',
}

type Listener = () => void
type Schedule = (flush: () => void) => void

/** One flush a frame; a hidden tab has no frames, so it flushes by the clock. */
const nextFrame: Schedule = (flush) => {
  if (document.hidden) setTimeout(flush, 250)
  else requestAnimationFrame(flush)
}

export class Transcript {
  lastSeq = 0
  private floorSeq = 0
  private ids: string[] = []
  private readonly parts = new Map<string, Part>()
  private readonly prompts = new Map<string, UserPart>()
  private running: string | null = null
  private turnNo = 0
  private open = new Set<string>()
  private meta: Meta = EMPTY
  private order: string[] = []
  private shownMeta: Meta = EMPTY
  private dirtyRows = new Set<string>()
  private orderDirty = false
  private scheduled = false
  private readonly rowListeners = new Map<string, Set<Listener>>()
  private readonly listListeners = new Set<Listener>()

  constructor(private readonly schedule: Schedule = nextFrame) {}

  // What React reads.

  subscribe = (listener: Listener) => {
    this.listListeners.add(listener)
    return () => void this.listListeners.delete(listener)
  }
  subscribeRow = (id: string) => (listener: Listener) => {
    const listeners = this.rowListeners.get(id) ?? new Set()
    this.rowListeners.set(id, listeners.add(listener))
    return () => void listeners.delete(listener)
  }
  getOrder = () => this.order
  getMeta = () => this.shownMeta
  getPart = (id: string) => this.parts.get(id)

  /** The text of a turn's answer, for copying. */
  answerOf(turnNo: number): string {
    const texts = this.ids
      .map((id) => this.parts.get(id))
      .filter((p) => p?.kind === 'text' && p.turnNo === turnNo && !p.child)
    return texts.map((p) => (p?.kind === 'text' ? p.text : '')).join('\n\n')
  }

  // What the socket calls.

  /** Apply events in order; false when one is missing before them and the log must be asked again. */
  applyAll(events: WireEvent[]): boolean {
    for (const event of events) {
      if (event.seq <= this.lastSeq) continue
      if (event.seq > Math.max(this.lastSeq, this.floorSeq) + 1) return false
      this.lastSeq = event.seq
      this.turnNo = event.turn_no
      this.apply(event as LogEvent)
    }
    return true
  }

  /** Forget everything: the log comes again, with gaps up to `floorSeq`, where it was folded. */
  reset(floorSeq: number) {
    for (const id of this.ids) this.dirtyRows.add(id)
    this.ids = []
    this.parts.clear()
    this.prompts.clear()
    this.open.clear()
    this.running = null
    this.lastSeq = 0
    this.floorSeq = floorSeq
    this.meta = { ...EMPTY, pending: this.meta.pending, title: this.meta.title }
    this.orderDirty = true
    this.touch()
  }

  setLive() {
    this.set({ live: true })
  }

  // What the composer calls.

  addPending(key: string, text: string) {
    this.set({ pending: [...this.meta.pending, { key, text, turnId: null }] })
  }

  /** The server took the prompt: its own event replaces the pending line, or did already. */
  confirmPending(key: string, turnId: string) {
    if (this.prompts.has(turnId)) this.dropPending(key)
    else this.set({ pending: this.meta.pending.map((p) => (p.key === key ? { ...p, turnId } : p)) })
  }

  dropPending(key: string) {
    this.set({ pending: this.meta.pending.filter((p) => p.key !== key) })
  }

  private apply(event: LogEvent) {
    switch (event.type) {
      case 'prompt.accepted':
        return this.acceptPrompt(event.data)
      case 'turn.started':
        return this.startTurn(event.data.turnId)
      case 'prompt.removed':
        return this.removePrompt(event.data.turnId)
      case 'message.delta':
        return this.appendText('text', event.data)
      case 'message.thinking':
        return this.appendText('thinking', event.data)
      case 'message.reset':
        return this.replaceText(event.data)
      case 'tool.start':
        return this.startTool(event.data, event.seq)
      case 'tool.done':
        return this.finishTool(event.data, event.seq)
      case 'question.asked':
        return this.ask(event.data)
      case 'question.answered':
        return this.closeQuestion(event.data)
      case 'session.idle':
        return this.endTurn(event.seq, event.data)
      default:
        return this.note(event)
    }
  }

  private note(event: LogEvent) {
    switch (event.type) {
      case 'session.title':
        return this.set({ title: event.data.title })
      case 'turn.status':
        return this.set({ status: event.data.message })
      case 'todo.updated':
        return this.set({ todos: event.data.todos })
      case 'usage.updated':
        return this.set({ usage: event.data })
      case 'session.error':
        this.say(`Error: ${event.data.message}`)
        return this.put({ kind: 'error', id: `error-${event.seq}`, turnNo: this.turnNo, ...event.data })
      case 'harness.unknown':
        return this.put({ kind: 'unknown', id: `unknown-${event.seq}`, turnNo: this.turnNo, ...event.data })
      default:
        return undefined
    }
  }

  private acceptPrompt(data: Data<'prompt.accepted'>) {
    const part: UserPart = { kind: 'user', id: data.messageId, turnNo: this.turnNo, started: false, ...data }
    const waits = this.meta.working
    this.prompts.set(data.turnId, part)
    this.settlePending(data)
    if (waits) {
      const { turnId, text, username } = data
      this.set({ queue: [...this.meta.queue, { turnId, text, username }] })
    } else {
      this.put(part)
      this.set({ working: true })
    }
  }

  /** The accepted prompt takes the place of the one shown as being sent. */
  private settlePending(data: Data<'prompt.accepted'>) {
    const { pending } = this.meta
    const at = pending.findIndex((p) => p.turnId === data.turnId || (!p.turnId && p.text === data.text))
    if (at >= 0) this.set({ pending: pending.toSpliced(at, 1) })
  }

  private startTurn(turnId: string) {
    const part = this.prompts.get(turnId)
    if (part) this.put({ ...part, turnNo: this.turnNo, started: true })
    this.running = turnId
    this.set({
      working: true,
      status: null,
      queue: this.meta.queue.filter((p) => p.turnId !== turnId),
    })
  }

  private removePrompt(turnId: string) {
    const part = this.prompts.get(turnId)
    if (part && this.parts.delete(part.id)) {
      this.ids = this.ids.filter((id) => id !== part.id)
      this.orderDirty = true
    }
    this.prompts.delete(turnId)
    const queue = this.meta.queue.filter((p) => p.turnId !== turnId)
    this.set({ queue, working: this.running !== null || queue.length > 0 || this.waiting() })
  }

  private appendText(kind: 'text' | 'thinking', data: Data<'message.delta'>) {
    const { partId, text, child } = data
    const known = this.parts.get(partId)
    if (known && (known.kind === 'text' || known.kind === 'thinking')) {
      this.open.add(partId)
      return this.put({ ...known, text: known.text + text, done: false })
    }
    this.closeOpen(child)
    this.open.add(partId)
    if (this.meta.status) this.set({ status: null })
    return this.put({ kind, id: partId, turnNo: this.turnNo, text, done: false, ...own(child) })
  }

  private replaceText(data: Data<'message.reset'>) {
    const known = this.parts.get(data.partId)
    const kind = data.thinking ? 'thinking' : 'text'
    const done = !this.open.has(data.partId)
    const turnNo = known?.turnNo ?? this.turnNo
    this.put({ kind, id: data.partId, turnNo, text: data.text, done, ...own(data.child ?? known?.child) })
  }

  private startTool(data: Data<'tool.start'>, seq: number) {
    const known = this.parts.get(data.toolId)
    if (known?.kind === 'tool' && known.state !== 'running') return
    this.closeOpen(data.child)
    if (this.meta.status) this.set({ status: null })
    this.put({
      kind: 'tool',
      id: data.toolId,
      turnNo: this.turnNo,
      tool: data.tool,
      rawInput: data.input,
      input: parseInput(data.input),
      output: '',
      state: 'running',
      ...(data.title ? { title: data.title } : {}),
      ...cutOf(undefined, data, seq),
      ...own(data.child),
    })
  }

  private finishTool(data: Data<'tool.done'>, seq: number) {
    if (this.parts.get(data.toolId)?.kind !== 'tool') {
      this.startTool({ toolId: data.toolId, tool: data.tool, input: '{}', ...own(data.child) }, seq)
    }
    const part = this.parts.get(data.toolId)
    if (part?.kind !== 'tool') return
    const { output, diff, parsed, ok } = data
    this.put({
      ...part,
      output,
      state: ok === false ? 'failed' : 'ok',
      ...(diff ? { diff } : {}),
      ...(parsed ? { parsed } : {}),
      ...cutOf(part, data, seq),
    })
  }

  private ask(data: Data<'question.asked'>) {
    const { partId, questions, kind = 'question', child } = data
    this.closeOpen(child)
    this.put({
      kind: 'question',
      id: partId,
      turnNo: this.turnNo,
      ask: kind,
      questions,
      answers: null,
      closed: false,
      ...own(child),
    })
    const said = kind === 'permission' ? 'The agent asks for permission.' : 'The agent asks a question.'
    this.set({ openQuestions: [...this.meta.openQuestions, partId] })
    this.say(said)
  }

  private closeQuestion(data: Data<'question.answered'>) {
    const part = this.parts.get(data.partId)
    if (part?.kind === 'question') this.put({ ...part, answers: data.answers, closed: true })
    this.set({ openQuestions: this.meta.openQuestions.filter((id) => id !== data.partId) })
  }

  private endTurn(seq: number, data: Data<'session.idle'>) {
    this.closeOpen(undefined, true)
    const { outcome = 'completed', stoppedBy } = data
    this.cutShort()
    this.put({ kind: 'end', id: `end-${seq}`, turnNo: this.turnNo, outcome, ...(stoppedBy ? { stoppedBy } : {}) })
    this.running = null
    const next = this.meta.queue[0]
    const waiting = next ? this.prompts.get(next.turnId) : undefined
    if (waiting) this.put(waiting)
    this.set({
      working: this.meta.queue.length > 0,
      queue: this.meta.queue.slice(1),
      status: null,
      openQuestions: [],
    })
    this.say(ENDINGS[outcome])
  }

  /** What the turn left running or unanswered ended with it. */
  private cutShort() {
    for (let i = this.ids.length - 1; i >= 0; i--) {
      const part = this.parts.get(this.ids[i] ?? '')
      if (!part || part.kind === 'end') break
      if (part.kind === 'tool' && part.state === 'running') this.put({ ...part, state: 'cut' })
      if (part.kind === 'question' && !part.closed) this.put({ ...part, closed: true })
      if (part.kind === 'user' && !part.started) this.put({ ...part, started: true })
    }
  }

  private waiting(): boolean {
    return this.ids.some((id) => {
      const part = this.parts.get(id)
      return part?.kind === 'user' && !part.started
    })
  }

  /** Text of one agent is finished once that agent does something else. */
  private closeOpen(child: string | undefined, all = false) {
    for (const id of this.open) {
      const part = this.parts.get(id)
      if (part?.kind !== 'text' && part?.kind !== 'thinking') continue
      if (!all && part.child !== child) continue
      this.open.delete(id)
      this.put({ ...part, done: true })
    }
  }

  /** History is not news: nothing is said until the log was read to its end. */
  private say(announcement: string) {
    this.set({ status: null, announcement: this.meta.live ? announcement : '' })
  }

  private put(part: Part) {
    if (!this.parts.has(part.id)) {
      this.ids.push(part.id)
      this.orderDirty = true
    }
    this.parts.set(part.id, part)
    this.dirtyRows.add(part.id)
    this.touch()
  }

  private set(change: Partial<Meta>) {
    this.meta = { ...this.meta, ...change }
    this.touch()
  }

  private touch() {
    if (this.scheduled) return
    this.scheduled = true
    this.schedule(this.flush)
  }

  private flush = () => {
    this.scheduled = false
    const rows = this.dirtyRows
    this.dirtyRows = new Set()
    const listChanged = this.orderDirty || this.meta !== this.shownMeta
    if (this.orderDirty) this.order = this.ids.slice()
    this.orderDirty = false
    this.shownMeta = this.meta
    if (listChanged) for (const tell of this.listListeners) tell()
    for (const id of rows) for (const tell of this.rowListeners.get(id) ?? []) tell()
  }
}

type Data<K extends LogEvent['type']> = Extract<LogEvent, { type: K }>['data']

const ENDINGS = {
  completed: 'The agent has finished.',
  aborted: 'The agent was stopped.',
  failed: 'The turn failed.',
}

const own = (child: string | undefined) => (child ? { child } : {})

/** Which events of a tool call have more than they carry. */
function cutOf(part: ToolPart | undefined, { large }: Large, seq: number): Pick<ToolPart, 'cut'> {
  if (!large) return {}
  return { cut: { seqs: [...(part?.cut?.seqs ?? []), seq], bytes: (part?.cut?.bytes ?? 0) + large.bytes } }
}

/** A tool call with what its events were before they were cut. */
export function withWhole(part: ToolPart, events: WireEvent[]): ToolPart {
  let whole = part
  for (const event of events as LogEvent[]) {
    if (event.type === 'tool.start') {
      whole = { ...whole, rawInput: event.data.input, input: parseInput(event.data.input) }
    } else if (event.type === 'tool.done') {
      const { output, diff, parsed } = event.data
      whole = { ...whole, output, ...(diff ? { diff } : {}), ...(parsed ? { parsed } : {}) }
    }
  }
  return whole
}

/** A tool's input is JSON text; while it is still being written it may not parse. */
function parseInput(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return value && typeof value === 'object' && !Array.isArray(value) ? { ...value } : {}
  } catch {
    return {}
  }
}
