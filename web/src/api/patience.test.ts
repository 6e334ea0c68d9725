import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { ApiError } from './client'
import { isStarting, patient, patiently } from './patience'

const STARTING = new ApiError(503, 'The file manager of this project is starting. Try again in a few seconds.', 'unavailable')

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

describe('what is not ready yet', () => {
  it('is a 503, unless waiting does not mend it', () => {
    const others = [new ApiError(503, 'No tool.', 'sandbox_setup'), new ApiError(500, 'No.'), new Error('No.')]
    expect([STARTING, ...others].map(isStarting)).toEqual([true, false, false, false])
  })

  it('is tried again after 1, 2, 3 and then every 5 seconds', async () => {
    const tries: number[] = []
    const began = Date.now()
    const said: string[] = []
    const work = async () => {
      tries.push((Date.now() - began) / 1_000)
      if (tries.length < 7) throw STARTING
      return 'there'
    }
    const done = patiently(work, (message) => said.push(message))
    await vi.runAllTimersAsync()
    expect(await done).toBe('there')
    expect(tries).toEqual([0, 1, 3, 6, 11, 16, 21])
    expect(said).toEqual(Array(6).fill('The file manager of this project is starting.'))
  })

  it('is given up after a minute, with its own sentence', async () => {
    const began = Date.now()
    const done = patiently(() => Promise.reject(STARTING), () => {}).catch((error: unknown) => error)
    await vi.runAllTimersAsync()
    expect(await done).toBe(STARTING)
    expect(Date.now() - began).toBeLessThanOrEqual(60_000)
  })

  it('makes nobody wait for a refusal', async () => {
    const refused = new ApiError(409, 'It is there already.')
    await expect(patiently(() => Promise.reject(refused), () => {})).rejects.toBe(refused)
    expect(patient().retry(0, refused)).toBe(false)
  })

  it('is read again by the queries for as long, however long each answer takes', () => {
    const { retry, retryDelay } = patient()
    const began = Date.now()
    let failures = 0
    for (; retry(failures, STARTING); failures++) vi.setSystemTime(Date.now() + retryDelay(failures, STARTING) + 8_000)
    expect(failures).toBe(5)
    expect(Date.now() - began).toBeLessThan(70_000)
    expect(retry(0, STARTING)).toBe(true)
  })
})
