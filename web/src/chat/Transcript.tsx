/** The conversation: virtualised rows that follow the end while the reader is there. */
import { ActionIcon, Loader } from '@mantine/core'
import { ArrowDown } from 'lucide-react'
import { useCallback, useContext, useEffect, useLayoutEffect, useRef, useState, useSyncExternalStore } from 'react'
import { VList, type VListHandle } from 'virtua'
import { Row } from './Row'
import { SessionContext } from './SessionContext'
import css from './chat.module.css'

const NEAR_END_PX = 80
const FOOT = 'foot'

export function Transcript() {
  const { transcript } = useContext(SessionContext)
  const order = useSyncExternalStore(transcript.subscribe, transcript.getOrder)
  const working = useSyncExternalStore(transcript.subscribe, () => transcript.getMeta().working)
  const list = useRef<VListHandle>(null)
  const host = useRef<HTMLDivElement>(null)
  const element = useCallback(() => host.current?.firstElementChild as HTMLElement | null, [])
  const { away, onScroll, toEnd } = useFollow(element)
  useLayoutEffect(() => {
    list.current?.scrollToIndex(order.length, { align: 'end' })
    // Only once for a transcript: afterwards the reader's place counts.
    // oxlint-disable-next-line react-hooks/exhaustive-deps
  }, [transcript])
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

/** Follow only while the reader is at the end. Growth also scrolls: only a way up lets go. */
function useFollow(element: () => HTMLElement | null) {
  const following = useRef(true)
  const lastTop = useRef(0)
  const [away, setAway] = useState(false)
  const onScroll = useCallback(() => {
    const el = element()
    if (!el) return
    const near = el.scrollHeight - el.scrollTop - el.clientHeight < NEAR_END_PX
    const up = el.scrollTop < lastTop.current - 1
    lastTop.current = el.scrollTop
    if (near) following.current = true
    else if (up) following.current = false
    setAway(!near && !following.current)
  }, [element])
  const toEnd = useCallback(() => {
    const el = element()
    if (!el) return
    el.scrollTop = el.scrollHeight
    following.current = true
    setAway(false)
  }, [element])
  useEffect(() => {
    let frame = 0
    const follow = () => {
      const el = element()
      if (el && following.current && el.scrollHeight - el.scrollTop - el.clientHeight > 1) {
        el.scrollTop = el.scrollHeight
      }
      frame = requestAnimationFrame(follow)
    }
    frame = requestAnimationFrame(follow)
    return () => cancelAnimationFrame(frame)
  }, [element])
  return { away, onScroll, toEnd }
}
