/**
 * Waiting for what starts on demand: on a cluster, files are served by a small program of their own that
 * may have to start first, and until it answers the server says 503 and why. That is no failure: it is
 * asked again, less and less often, for up to a minute.
 */
import { ApiError } from './client'

const PAUSES_MS = [1_000, 2_000, 3_000, 5_000]
const PATIENCE_MS = 60_000
const USUAL_TRIES = 2
const LONGEST_PAUSE_MS = 30_000
/** The 503 that waiting does not mend: a setting has to be changed first. */
const PERMANENT = 'sandbox_setup'

/** Whether an error says "not yet" rather than "no". */
export const isStarting = (error: unknown): error is ApiError =>
  error instanceof ApiError && error.status === 503 && error.code !== PERMANENT

/** What it waits for, without the advice to try again: that is being done. */
export const progressOf = (error: ApiError): string => error.message.replace(/\s*Try again [^.]*\.$/, '')

export const pauseAfter = (failures: number): number =>
  PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)] ?? LONGEST_PAUSE_MS

/** Whether a read that failed is tried again; what was refused is not. */
export const usualRetry = (failures: number, error: Error): boolean =>
  failures < USUAL_TRIES && !(error instanceof ApiError && error.status >= 400 && error.status < 500)

/** For the reads that a file manager serves; each read has a minute of its own. */
export function patient() {
  let deadline = 0
  return {
    retry: (failures: number, error: Error) => {
      if (failures === 0) deadline = Date.now() + PATIENCE_MS
      return isStarting(error) ? Date.now() + pauseAfter(failures) <= deadline : usualRetry(failures, error)
    },
    retryDelay: (failures: number, error: Error) =>
      isStarting(error) ? pauseAfter(failures) : Math.min(1_000 * 2 ** failures, LONGEST_PAUSE_MS),
  }
}

/**
 * Do something as soon as what serves it has started. `tell` hears what it waits for at each try that came
 * too early; after a minute its error is thrown, and any other error at once.
 */
export async function patiently<T>(work: () => Promise<T>, tell: (message: string) => void): Promise<T> {
  let deadline = Infinity
  for (let failures = 0; ; failures++) {
    try {
      return await work()
    } catch (error) {
      const pause = pauseAfter(failures)
      if (failures === 0) deadline = Date.now() + PATIENCE_MS
      if (!isStarting(error) || Date.now() + pause > deadline) throw error
      tell(progressOf(error))
      await new Promise((resolve) => setTimeout(resolve, pause))
    }
  }
}
