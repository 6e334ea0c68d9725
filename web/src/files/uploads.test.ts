import { renderHook } from '@testing-library/react'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { clearUploads, queueUploads, retryUpload, sendUploads, useUploads, type Parcel } from './uploads'

const STARTING = { status: 503, body: { code: 'unavailable', message: 'The file manager of this project is starting.' } }
const STORED = { status: 200, body: {} }

/** A server that gives its answers in their order, the last one again and again. */
class Server {
  static answers: { status: number; body: object }[] = []
  static received = 0
  status = 0
  responseText = ''
  upload = new EventTarget()
  private readonly events = new EventTarget()

  addEventListener(type: string, listener: () => void) {
    this.events.addEventListener(type, listener)
  }
  open() {}
  send() {
    Server.received++
    const [answer = STORED] = Server.answers.length > 1 ? Server.answers.splice(0, 1) : Server.answers
    this.status = answer.status
    this.responseText = JSON.stringify(answer.body)
    this.events.dispatchEvent(new Event('load'))
  }
}

const parcel = (name: string) => ({ file: new File(['hello'], name), folder: '/' })
const take = (parcels: Parcel[]): Promise<void> =>
  sendUploads('p', queueUploads(parcels, (again) => take([again])))
const states = () => {
  const { result } = renderHook(useUploads)
  return result.current.map(({ name, state, problem }) => ({ name, state, problem }))
}

beforeEach(() => {
  vi.useFakeTimers()
  vi.stubGlobal('XMLHttpRequest', Server)
  Server.received = 0
})
afterEach(() => {
  clearUploads()
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

describe('an upload that comes before the file manager has started', () => {
  it('keeps its file, says what it waits for, and is sent again by itself', async () => {
    Server.answers = [STARTING, STARTING, STORED]
    const done = take([parcel('a.txt')])
    await vi.advanceTimersByTimeAsync(500)
    expect(states()).toEqual([{ name: 'a.txt', state: 'waiting', problem: STARTING.body.message }])
    await vi.advanceTimersByTimeAsync(3_000)
    await done
    expect(states()).toEqual([{ name: 'a.txt', state: 'done', problem: null }])
    expect(Server.received).toBe(3)
    await vi.advanceTimersByTimeAsync(5_000)
  })

  it('fails after a minute, the ones behind it at once, and can be retried', async () => {
    Server.answers = [STARTING]
    const names = ['a', 'b', 'c', 'd', 'e']
    const done = take(names.map(parcel))
    await vi.advanceTimersByTimeAsync(61_000)
    await done
    expect(states()).toEqual(names.map((name) => ({ name, state: 'failed', problem: STARTING.body.message })))

    Server.answers = [STORED]
    const { result } = renderHook(useUploads)
    for (const upload of result.current) await retryUpload(upload)
    expect(states().map(({ state }) => state)).toEqual(Array(5).fill('done'))
    await vi.advanceTimersByTimeAsync(5_000)
  })
})
