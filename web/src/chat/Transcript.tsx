/** The conversation: virtualised rows that follow the end while the reader is there. */
import { ActionIcon, Loader } from '@mantine/core'
import { ArrowDown } from 'lucide-react'
import { useCallback, useContext, useLayoutEffect, useRef, useSyncExternalStore } from 'react'
import { VList, type VListHandle } from 'virtua'
import { Row } from './Row'
import { SessionContext } from './SessionContext'
import { useFollow } from './useFollow'
import css from './chat.module.css'

const FOOT = 'foot'

export function Transcript() {
  const { transcript } = useContext(SessionContext)
  const order = useSyncExternalStore(transcript.subscribe, transcript.getOrder)
  const working = useSyncExternalStore(transcript.subscribe, () => transcript.getMeta().working)
  const list = useRef<VListHandle>(null)
  const host = useRef<HTMLDivElement>(null)
  const element = useCallback(() => host.current?.firstElementChild as HTMLElement | null, [])
  const { away, isFollowing, onScroll, toEnd } = useFollow(element)
  // The list measures rows as it goes there; setting the scroll offset alone would stop short of the end.
  useLayoutEffect(() => {
    if (isFollowing()) list.current?.scrollToIndex(order.length, { align: 'end' })
  }, [transcript, order.length, isFollowing])
  const rows = [...order, FOOT]
  return (
    <div className={css.transcript}>
      <div ref={host} className={css.listHost}>
        <VList
          ref={list}
          data={rows}
          className={css.list}
          onScroll={onScroll}
          bufferSize={600}
          role="log"
          aria-live="off"
          aria-label="Conversation"
          aria-busy={working}
          tabIndex={0}
          keepMounted={working ? [order.length - 1] : []}
        >
          {(id: string) => (
            <div key={id} className={css.wrap}>
              {id === FOOT ? <Foot /> : <Row id={id} />}
            </div>
          )}
        </VList>
      </div>
      {away && (
        <ActionIcon
          className={css.jump}
          variant="default"
          radius="xl"
          size={38}
          aria-label="Jump to latest"
          title="Jump to latest"
          onClick={() => {
            list.current?.scrollToIndex(order.length, { align: 'end' })
            toEnd()
          }}
        >
          <ArrowDown size={17} aria-hidden />
        </ActionIcon>
      )}
    </div>
  )
}

/** Below the last row: prompts being sent, and what the turn is doing when it says nothing. */
function Foot() {
  const { transcript } = useContext(SessionContext)
  const meta = useSyncExternalStore(transcript.subscribe, transcript.getMeta)
  const { pending, working, status, openQuestions } = meta
  return (
    <div className={css.foot}>
      {pending.map(({ key, text }) => (
        <div key={key} className={css.userRow} data-testid="prompt-pending">
          <div className={css.user}>{text}</div>
          <span className={css.userFoot}>sending…</span>
        </div>
      ))}
      {working && (
        <div className={css.working} data-testid="working">
          <Loader size={14} type="dots" aria-hidden />
          <span>{openQuestions.length > 0 ? 'Waiting for your answer' : (status ?? 'Working…')}</span>
        </div>
      )}
    </div>
  )
}
