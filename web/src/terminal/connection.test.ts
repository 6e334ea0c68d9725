import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Connection, type Ending, type State } from './connection'

class FakeSocket {
  static OPEN = 1
  readyState = 0
  binaryType = ''
  sent: (string | Uint8Array)[] = []
  private listeners: Record<string, (event: unknown) => void> = {}
  addEventListener(name: string, listener: (event: unknown) => void) {
    this.listeners[name] = listener
  }
  tell(name: string, event: unknown = {}) {
    this.listeners[name]?.(event)
  }
  send(data: string | Uint8Array) {
    this.sent.push(data)
  }
  close() {
    this.readyState = 3
  }
  accept() {
    this.readyState = FakeSocket.OPEN
    this.tell('open')
  }
  end(code: number, reason = '') {
    this.readyState = 3
    this.tell('close', { code, reason })
  }
}

let sockets: FakeSocket[]
let states: [State, Ending | null][]
let output: Uint8Array[]
let connection: Connection

beforeEach(() => {
  vi.useFakeTimers()
  vi.stubGlobal('WebSocket', FakeSocket)
  sockets = []
  states = []
  output = []
  connection = new Connection({
    open: () => {
      const socket = new FakeSocket()
      sockets.push(socket)
      return socket as unknown as WebSocket
    },
    output: (bytes) => output.push(bytes),
    changed: (state, ending) => states.push([state, ending]),
    wait: () => 1_000,
  })
  connection.start()
})

afterEach(() => {
  connection.close()
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe('a terminal connection', () => {
  it('says size and theme first, also to a later socket', () => {
    connection.resize(80, 24)
    connection.theme('dark')
    sockets[0]!.accept()
    const frames = ['{"type":"resize","cols":80,"rows":24}', '{"type":"theme","theme":"dark"}']
    expect(sockets[0]!.sent).toEqual(frames)
    sockets[0]!.end(1012)
    vi.advanceTimersByTime(1_000)
    sockets[1]!.accept()
    expect(sockets[1]!.sent).toEqual(frames)
    expect(states.map(([state]) => state)).toEqual(['connecting', 'open', 'waiting', 'waiting', 'open'])
  })

  it('does not type later what was typed without a connection', () => {
    connection.type('lost')
    sockets[0]!.accept()
    expect(sockets[0]!.sent).toEqual([])
  })

  it('sends a paste of a mebibyte whole, in pieces', () => {
    sockets[0]!.accept()
    connection.type('x'.repeat(1024 * 1024) + 'é')
    const sizes = sockets[0]!.sent.map((piece) => piece.length)
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(1024 * 1024 + 2)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(256 * 1024)
  })

  it('passes on bytes and ignores text', () => {
    sockets[0]!.accept()
    sockets[0]!.tell('message', { data: new Uint8Array([104, 105]).buffer })
    sockets[0]!.tell('message', { data: 'text' })
    expect(output).toEqual([new Uint8Array([104, 105])])
  })

  it('stays ended where the sandbox was stopped, until asked', () => {
    sockets[0]!.accept()
    sockets[0]!.end(4409)
    vi.advanceTimersByTime(60_000)
    expect(sockets).toHaveLength(1)
    expect(states.at(-1)).toEqual(['ended', expect.objectContaining({ again: true })])
    connection.again()
    expect(sockets).toHaveLength(2)
  })
})
