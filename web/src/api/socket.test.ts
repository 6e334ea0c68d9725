import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Socket, type SessionSink } from './socket'

/** A WebSocket whose other end is the test. */
class Wire extends EventTarget {
  readyState = 0
  sent: Record<string, unknown>[] = []

  send(text: string) {
    this.sent.push(JSON.parse(text) as Record<string, unknown>)
  }
  close() {
    this.readyState = 3
  }
  open() {
    this.readyState = 1
    this.dispatchEvent(new Event('open'))
  }
  say(frame: unknown) {
    this.dispatchEvent(new MessageEvent('message', { data: JSON.stringify(frame) }))
  }
  break(code = 1006) {
    this.readyState = 3
    this.dispatchEvent(Object.assign(new Event('close'), { code }))
  }
}

let wires: Wire[]
let socket: Socket
const signedOut = vi.fn()
const recovered = vi.fn()
const wire = () => wires.at(-1) as Wire

beforeEach(() => {
  vi.useFakeTimers()
  signedOut.mockClear()
  recovered.mockClear()
  wires = []
  socket = new Socket({
    open: () => {
      wires.push(new Wire())
      return wire() as unknown as WebSocket
    },
    signedOut,
    recovered,
  })
  socket.start()
})

afterEach(() => {
  socket.stop()
  vi.useRealTimers()
})

function sinkOf(after: number): SessionSink & { after: ReturnType<typeof vi.fn<() => number>> } {
  return { after: vi.fn(() => after), events: vi.fn(() => true), live: vi.fn(), reset: vi.fn(), failed: vi.fn() }
}

describe('the socket', () => {
  it('subscribes once it is open and hands each session its own frames', () => {
    const sink = sinkOf(0)
    socket.follow('s1', sink)
    expect(wire().sent).toEqual([])
    wire().open()
    expect(wire().sent).toEqual([{ op: 'feed' }, { op: 'subscribe', session_id: 's1', after: 0 }])
    wire().say({ op: 'events', session_id: 's1', events: [{ seq: 1 }] })
    wire().say({ op: 'events', session_id: 'other', events: [] })
    wire().say({ op: 'live', session_id: 's1', seq: 1 })
    expect(sink.events).toHaveBeenCalledExactlyOnceWith([{ seq: 1 }])
    expect(sink.live).toHaveBeenCalledOnce()
  })

  it('comes back by itself and asks for what came after the last event', () => {
    const sink = sinkOf(0)
    socket.follow('s1', sink)
    wire().open()
    sink.after.mockReturnValue(41)
    wire().break()
    expect(socket.state).toBe('lost')
    vi.advanceTimersByTime(300)
    expect(wires).toHaveLength(2)
    wire().open()
    expect(wire().sent).toContainEqual({ op: 'subscribe', session_id: 's1', after: 41 })
    expect(socket.state).toBe('online')
    expect(recovered).toHaveBeenCalledOnce()
  })

  it('waits longer after each failure, up to five seconds', () => {
    for (let i = 0; i < 12; i++) {
      wire().break()
      vi.advanceTimersByTime(5_000)
    }
    const before = wires.length
    wire().break()
    vi.advanceTimersByTime(2_000)
    expect(wires).toHaveLength(before)
    vi.advanceTimersByTime(3_000)
    expect(wires).toHaveLength(before + 1)
  })

  it('says within three seconds that the network went silent, and forgives it if it comes back', () => {
    wire().open()
    vi.advanceTimersByTime(3_000)
    expect(wire().sent).toContainEqual({ op: 'ping' })
    expect(socket.state).toBe('lost')
    wire().say({ op: 'pong' })
    expect(socket.state).toBe('online')
    expect(wires).toHaveLength(1)
  })

  it('gives up a connection that stays silent', () => {
    wire().open()
    vi.advanceTimersByTime(9_000)
    expect(wires.length).toBeGreaterThan(1)
  })

  it('asks again for a session whose events had a gap', () => {
    const sink = sinkOf(7)
    vi.mocked(sink.events).mockReturnValue(false)
    socket.follow('s1', sink)
    wire().open()
    wire().sent = []
    wire().say({ op: 'events', session_id: 's1', events: [{ seq: 12 }] })
    expect(wire().sent).toEqual([{ op: 'subscribe', session_id: 's1', after: 7 }])
  })

  it('answers a ping, and stops for good when the person is signed out', () => {
    wire().open()
    wire().say({ op: 'ping' })
    expect(wire().sent).toContainEqual({ op: 'pong' })
    wire().break(4401)
    expect(signedOut).toHaveBeenCalledOnce()
    vi.advanceTimersByTime(20_000)
    expect(wires).toHaveLength(1)
  })

  it('no longer hears of a session that nobody follows', () => {
    const sink = sinkOf(0)
    const stop = socket.follow('s1', sink)
    wire().open()
    stop()
    expect(wire().sent).toContainEqual({ op: 'unsubscribe', session_id: 's1' })
    wire().say({ op: 'events', session_id: 's1', events: [] })
    expect(sink.events).not.toHaveBeenCalled()
  })
})
