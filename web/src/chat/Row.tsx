/** One row of the transcript: it alone is drawn again when its part changes. */
import { Button, UnstyledButton } from '@mantine/core'
import { ChevronRight, CircleAlert, CircleStop, CornerDownRight, TriangleAlert } from 'lucide-react'
import { memo, useCallback, useContext, useId, useMemo, useState, useSyncExternalStore } from 'react'
import { removePrompt } from '../api/calls'
import { CopyAction } from '../ui/CopyAction'
import { attempt } from '../ui/toast'
import { AskCard } from './asks/AskCard'
import { Markdown } from './Markdown'
import type { EndPart, Part, UnknownPart, UserPart } from './parts'
import { SessionContext } from './SessionContext'
import { Thinking } from './Thinking'
import { ToolCard } from './tools/ToolCard'
import css from './chat.module.css'

export const Row = memo(function Row({ id }: { id: string }) {
  const { transcript } = useContext(SessionContext)
  const subscribe = useMemo(() => transcript.subscribeRow(id), [transcript, id])
  const part = useSyncExternalStore(
    subscribe,
    useCallback(() => transcript.getPart(id), [transcript, id]),
  )
  if (!part) return null
  return (
    <div className={css.row} data-kind={part.kind} data-child={part.child ? true : undefined}>
      {part.child && (
        <span className={css.childMark}>
          <CornerDownRight size={12} aria-hidden /> sub-agent
        </span>
      )}
      <PartView part={part} />
    </div>
  )
})

export const PartView = memo(function PartView({ part }: { part: Part }) {
  switch (part.kind) {
    case 'user':
      return <UserBubble part={part} />
    case 'text':
      return (
        <div data-testid="answer">
          <Markdown text={part.text} done={part.done} />
        </div>
      )
    case 'thinking':
      return <Thinking part={part} />
    case 'tool':
      return <ToolCard part={part} />
    case 'question':
      return <AskCard part={part} />
    case 'error':
      return (
        <div className={css.error} role="group" aria-label="Error">
          <CircleAlert size={16} aria-hidden />
          <span>
            <b>Error.</b> {part.message}
          </span>
        </div>
      )
    case 'unknown':
      return <UnknownFrame part={part} />
    case 'end':
      return <TurnEnd part={part} />
  }
})

function UserBubble({ part }: { part: UserPart }) {
  const { sessionId } = useContext(SessionContext)
  return (
    <div className={css.userRow} data-testid="prompt">
      <div className={css.user}>{part.text}</div>
      <span className={css.userFoot}>
        {part.username}
        {!part.started && (
          <>
            <span> · waiting to start</span>
            <Button
              variant="subtle"
              color="gray"
              size="compact-xs"
              onClick={() => void attempt(() => removePrompt(sessionId, part.turnId), 'Could not remove the prompt')}
            >
              Remove
            </Button>
          </>
        )}
      </span>
    </div>
  )
}

function UnknownFrame({ part }: { part: UnknownPart }) {
  const [open, setOpen] = useState(false)
  const content = useId()
  return (
    <section className={css.think} aria-label={`Unknown event ${part.frameType}`}>
      <UnstyledButton
        className={css.thinkHead}
        aria-expanded={open}
        aria-controls={open ? content : undefined}
        onClick={() => setOpen(!open)}
      >
        <TriangleAlert size={14} aria-hidden />
        <span className={css.unknownType}>Unknown event {part.frameType}</span>
        <ChevronRight size={13} className={css.chevron} data-open={open || undefined} aria-hidden />
      </UnstyledButton>
      {open && (
        <div id={content}>
          <p>The agent sent this, and Cattery does not know what it means. Nothing is lost by it.</p>
          {/* It scrolls, so the keyboard must reach it. */}
          <pre className={css.preview} role="group" tabIndex={0} aria-label="What it sent">
            {part.preview}
          </pre>
        </div>
      )}
    </section>
  )
}

function TurnEnd({ part }: { part: EndPart }) {
  const { transcript } = useContext(SessionContext)
  const answer = transcript.answerOf(part.turnNo)
  return (
    <div className={css.end} data-testid="turn-end" data-outcome={part.outcome}>
      {part.outcome === 'aborted' && (
        <span className={css.stopped}>
          <CircleStop size={14} aria-hidden /> Stopped{part.stoppedBy ? ` by ${part.stoppedBy}` : ''}
        </span>
      )}
      {part.outcome === 'failed' && (
        <span className={css.stoppedBad}>
          <CircleAlert size={14} aria-hidden /> This turn failed
        </span>
      )}
      {answer && <CopyAction text={() => transcript.answerOf(part.turnNo)} label="Copy answer" />}
    </div>
  )
}
