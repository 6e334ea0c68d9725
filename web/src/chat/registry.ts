/** The transcripts of this tab: kept for a while after one leaves, so that coming back is instant. */
import { socket } from '../api/link'
import { Transcript } from './store'

const KEPT = 12

const transcripts = new Map<string, Transcript>()

export function transcriptOf(sessionId: string): Transcript {
  const known = transcripts.get(sessionId) ?? new Transcript()
  transcripts.delete(sessionId)
  transcripts.set(sessionId, known)
  for (const id of transcripts.keys()) {
    if (transcripts.size <= KEPT) break
    if (!followed.has(id)) transcripts.delete(id)
  }
  return known
}

export function forgetTranscripts() {
  transcripts.clear()
}

const followed = new Map<string, number>()

/** Follow the session's log while someone looks at it; safe to call twice for the same session. */
export function followSession(
  sessionId: string,
  failed: (code: string, message: string) => void,
): () => void {
  const transcript = transcriptOf(sessionId)
  followed.set(sessionId, (followed.get(sessionId) ?? 0) + 1)
  const stop = socket.follow(sessionId, {
    after: () => transcript.lastSeq,
    events: (events) => transcript.applyAll(events),
    live: () => transcript.setLive(),
    reset: (floor) => transcript.reset(floor),
    failed,
  })
  return () => {
    const left = (followed.get(sessionId) ?? 1) - 1
    if (left > 0) followed.set(sessionId, left)
    else followed.delete(sessionId)
    stop()
  }
}
