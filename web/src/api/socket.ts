/**
 * The tab's one WebSocket: sessions' events and the feed of status changes share it, because
 * HTTP/1.1 allows six connections a host and people open more tabs than that.
 *
 * It comes back by itself (jittered back-off) and then subscribes again after the last event each
 * session has. A silent network is noticed by a ping that stays unanswered.
 */
import type { WireEvent } from '../chat/events'

export interface SessionSink {
  /** The last event that was applied; asked again at each (re)connect. */
  after: () => number
  /** False when events are missing before these: the socket then subscribes again. */
  events: (events: WireEvent[]) => boolean
  live: () => void
  reset: (floorSeq: number) => void
  failed: (code: string, message: string) => void
}

export interface FeedItem {
  /** `lost`: changes were missed, anything may be stale. */
  kind: 'harness' | 'session' | 'project' | 'user' | 'lost'
  /** Null where the reader may not know which: some object of that kind. */
  id: string | null
  project_id: string | null
}

export type LinkState = 'connecting' | 'online' | 'lost'

type ServerFrame =
  | { op: 'events'; session_id: string; events: WireEvent[] }
  | { op: 'live'; session_id: string; seq: number }
  | { op: 'reset'; session_id: string; floor_seq: number }
  | ({ op: 'feed' } & FeedItem)
  | { op: 'error'; session_id?: string; code: string; message: string }
  | { op: 'pong' }
  | { op: 'ping' }

const TICK_MS = 500
const PING_AFTER_MS = 1_000
/** Silence after a ping: the banner shows, though the same connection may yet come back. */
const SUSPECT_MS = 1_500
/** Silence after which the connection is given up and a new one is tried. */
const GIVE_UP_MS = 6_000
const BACKOFF_MS = { first: 250, most: 5_000 }
const SIGNED_OUT = 4401

export interface SocketHooks {
  open: () => WebSocket
  signedOut: () => void
  /** After a lost connection came back: whatever the feed said meanwhile was missed. */
  recovered: () => void
}

export class Socket {
  state: LinkState = 'connecting'
  private ws: WebSocket | null = null
  private readonly sinks = new Map<string, SessionSink>()
  private readonly listeners = new Set<() => void>()
  private readonly feedListeners = new Set<(item: FeedItem) => void>()
  private ticker: ReturnType<typeof setInterval> | undefined
  private retry: ReturnType<typeof setTimeout> | undefined
  private attempts = 0
  private everOnline = false
  private heardAt = 0
  private pingedAt: number | null = null

  constructor(private readonly hooks: SocketHooks) {}

  start() {
    if (this.ticker) return
    this.ticker = setInterval(this.tick, TICK_MS)
    window.addEventListener('offline', this.onOffline)
    window.addEventListener('online', this.reconnectNow)
    this.connect()
  }

  stop() {
    clearInterval(this.ticker)
    clearTimeout(this.retry)
    this.ticker = undefined
    window.removeEventListener('offline', this.onOffline)
    window.removeEventListener('online', this.reconnectNow)
    this.abandon()
  }

  subscribeState = (listener: () => void) => {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }
  getState = () => this.state

  onFeed(listener: (item: FeedItem) => void): () => void {
    this.feedListeners.add(listener)
    return () => void this.feedListeners.delete(listener)
  }

  /** Follow a session's log; the answer ends it. One follower a session. */
  follow(sessionId: string, sink: SessionSink): () => void {
    this.sinks.set(sessionId, sink)
    this.subscribeTo(sessionId, sink)
    return () => {
      if (this.sinks.get(sessionId) !== sink) return
      this.sinks.delete(sessionId)
      this.send({ op: 'unsubscribe', session_id: sessionId })
    }
  }

  reconnectNow = () => {
    if (this.state === 'online' && this.ws?.readyState === 1) return
    this.attempts = 0
    this.connect()
  }

  private connect() {
    clearTimeout(this.retry)
    this.abandon()
    const ws = this.hooks.open()
    this.ws = ws
    this.heardAt = Date.now()
    this.pingedAt = null
    ws.addEventListener('open', () => ws === this.ws && this.opened())
    ws.addEventListener('message', (event) => ws === this.ws && this.heard(String(event.data)))
    ws.addEventListener('close', (event) => ws === this.ws && this.closed(event.code))
  }

  private opened() {
    this.attempts = 0
    this.heardAt = Date.now()
    this.send({ op: 'feed' })
    for (const [id, sink] of this.sinks) this.subscribeTo(id, sink)
    const again = this.everOnline
    this.everOnline = true
    this.setState('online')
    if (again) this.hooks.recovered()
  }

  private heard(text: string) {
    this.heardAt = Date.now()
    this.pingedAt = null
    if (this.state === 'lost') this.setState('online')
    const frame = JSON.parse(text) as ServerFrame
    if (frame.op === 'ping') return this.send({ op: 'pong' })
    if (frame.op === 'pong') return undefined
    if (frame.op === 'feed') {
      for (const tell of this.feedListeners) tell(frame)
      return undefined
    }
    const sink = frame.session_id ? this.sinks.get(frame.session_id) : undefined
    return sink && this.deliver(frame, frame.session_id ?? '', sink)
  }

  private deliver(frame: ServerFrame, sessionId: string, sink: SessionSink) {
    if (frame.op === 'events' && !sink.events(frame.events)) this.subscribeTo(sessionId, sink)
    else if (frame.op === 'live') sink.live()
    else if (frame.op === 'reset') sink.reset(frame.floor_seq)
    else if (frame.op === 'error') sink.failed(frame.code, frame.message)
  }

  private closed(code: number) {
    this.ws = null
    if (code === SIGNED_OUT) {
      this.stop()
      this.hooks.signedOut()
      return
    }
    this.setState('lost')
    const span = Math.min(BACKOFF_MS.most, BACKOFF_MS.first * 2 ** this.attempts++)
    clearTimeout(this.retry)
    this.retry = setTimeout(() => this.connect(), span * (0.5 + Math.random() / 2))
  }

  private tick = () => {
    if (this.ws?.readyState !== 1) return
    const now = Date.now()
    if (this.pingedAt === null) {
      if (now - this.heardAt < PING_AFTER_MS) return
      this.pingedAt = now
      this.send({ op: 'ping' })
    } else if (now - this.pingedAt > GIVE_UP_MS) {
      this.abandon()
      this.closed(1006)
    } else if (now - this.pingedAt >= SUSPECT_MS) {
      this.setState('lost')
    }
  }

  private onOffline = () => this.setState('lost')

  private subscribeTo(sessionId: string, sink: SessionSink) {
    this.send({ op: 'subscribe', session_id: sessionId, after: sink.after() })
  }

  private send(frame: Record<string, unknown>) {
    if (this.ws?.readyState === 1) this.ws.send(JSON.stringify(frame))
  }

  /** Leave the socket without hearing its `close`, which on a dead network takes long to come. */
  private abandon() {
    const ws = this.ws
    this.ws = null
    ws?.close()
  }

  private setState(state: LinkState) {
    if (state === this.state) return
    this.state = state
    for (const tell of this.listeners) tell()
  }
}
