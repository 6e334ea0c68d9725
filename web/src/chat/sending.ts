/** Send a prompt: shown at once, sent with one key however often the network makes us try. */
import { sendPrompt } from '../api/calls'
import { ApiError } from '../api/client'
import type { Transcript } from './store'

const TRIES = 4
const PAUSE_MS = 800

export async function submitPrompt(sessionId: string, transcript: Transcript, text: string) {
  const key = newKey()
  transcript.addPending(key, text)
  try {
    const { turn_id: turnId } = await persistently(() => sendPrompt(sessionId, text, key))
    transcript.confirmPending(key, turnId)
  } catch (error) {
    transcript.dropPending(key)
    throw error
  }
}

/** Try again while no answer comes; an answer, even a refusal, is final. */
async function persistently<T>(call: () => Promise<T>): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await call()
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 0 || tried >= TRIES) throw error
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * tried))
    }
  }
}

/** `crypto.randomUUID` is absent on plain-http sites; random values are not. */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('')
}
