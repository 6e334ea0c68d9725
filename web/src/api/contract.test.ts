/**
 * The watcher's contract (docs/watcher-cases.json), as the UI keeps it over its socket.
 *
 * The same cases are put to the Python client in tests/unit/test_watcher_contract.py.
 */
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { WireEvent } from '../chat/events'
import { Transcript } from '../chat/store'
import { Socket } from './socket'

interface Step {
  asked?: number
  events?: WireEvent[]
  reset?: number
  ping?: boolean
  break?: boolean
}

interface Case {
  name: string
  steps: Step[]
  then: { after: number; texts: Record<string, string>; resets: number }
}

const { cases } = JSON.parse(readFileSync('../docs/watcher-cases.json', 'utf8')) as { cases: Case[] }

class Wire extends EventTarget {
  readyState = 0
  asked: number[] = []

  send(text: string) {
    const frame = JSON.parse(text) as { op: string; after: number }
    if (frame.op === 'subscribe') this.asked.push(frame.after)
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
  break() {
    this.readyState = 3
    this.dispatchEvent(Object.assign(new Event('close'), { code: 1006 }))
  }
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function play(steps: Step[]) {
  const wires: Wire[] = []
  const transcript = new Transcript((flush) => flush())
  const seen = { resets: 0 }
  const socket = new Socket({
    open: () => {
      wires.push(new Wire())
      return wires.at(-1) as unknown as WebSocket
    },
    signedOut: () => undefined,
    recovered: () => undefined,
  })
  const wire = () => wires.at(-1) as Wire
  const connect = () => {
    vi.advanceTimersByTime(5_000)
    if (wire().readyState === 0) wire().open()
  }
  socket.start()
  socket.follow('s', {
    after: () => transcript.lastSeq,
    events: (events) => transcript.applyAll(events),
    live: () => transcript.setLive(),
    reset: (floor) => {
      seen.resets++
      transcript.reset(floor)
    },
    failed: () => undefined,
  })
  wire().open()
  for (const step of steps) {
    if (step.asked !== undefined) expect(wire().asked.shift()).toBe(step.asked)
    if (step.events) wire().say({ op: 'events', session_id: 's', events: step.events })
    if (step.reset !== undefined) wire().say({ op: 'reset', session_id: 's', floor_seq: step.reset })
    if (step.ping) wire().say({ op: 'ping' })
    if (step.break) {
      wire().break()
      connect()
    }
  }
  const unasked = wire().asked
  socket.stop()
  return { transcript, unasked, resets: seen.resets }
}

describe("the UI's client keeps the watcher's contract:", () => {
  it.each(cases)('$name', ({ steps, then }) => {
    const { transcript, unasked, resets } = play(steps)
    const texts = transcript
      .getOrder()
      .map((id) => transcript.getPart(id))
      .flatMap((part) => (part?.kind === 'text' || part?.kind === 'thinking' ? [[part.id, part.text]] : []))
    expect({ after: transcript.lastSeq, texts: Object.fromEntries(texts), resets }).toEqual(then)
    expect(unasked).toEqual([])
  })
})
