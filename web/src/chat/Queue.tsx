/** Prompts that wait for the agent, in their order, each of which can be taken back. */
import { ListOrdered, X } from 'lucide-react'
import { useContext, useSyncExternalStore } from 'react'
import { removePrompt } from '../api/calls'
import { IconAction } from '../ui/IconAction'
import { attempt } from '../ui/toast'
import { SessionContext } from './SessionContext'
import css from './chat.module.css'

export function Queue() {
  const { sessionId, transcript } = useContext(SessionContext)
  const queue = useSyncExternalStore(transcript.subscribe, () => transcript.getMeta().queue)
  if (queue.length === 0) return null
  return (
    <section className={css.queue} aria-label="Queued prompts">
      <h2>
        <ListOrdered size={14} aria-hidden /> {queue.length === 1 ? '1 prompt waits' : `${queue.length} prompts wait`}
      </h2>
      <ol>
        {queue.map(({ turnId, text, username }) => (
          <li key={turnId}>
            <span title={text}>{text}</span>
            <small>{username}</small>
            <IconAction
              size="sm"
              iconSize={14}
              label={`Remove “${text.slice(0, 60)}”`}
              icon={X}
              onClick={() => void attempt(() => removePrompt(sessionId, turnId), 'Could not remove the prompt')}
            />
          </li>
        ))}
      </ol>
    </section>
  )
}
