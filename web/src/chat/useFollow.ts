/**
 * Follow the end of a growing list while its reader is there.
 *
 * Growth and the list's own measuring also scroll, in both directions; so only a way up that follows
 * the reader's own wheel, finger, key or scrollbar lets go.
 */
import { useCallback, useEffect, useRef, useState } from 'react'

const NEAR_END_PX = 80
/** A scroll this soon after the reader's input is theirs; smooth scrolling takes a moment. */
const THEIRS_MS = 800

const INPUTS = ['wheel', 'touchmove', 'keydown', 'pointerdown'] as const

export function useFollow(element: () => HTMLElement | null) {
  const following = useRef(true)
  const lastTop = useRef(0)
  const touchedAt = useRef(-THEIRS_MS)
  const dragging = useRef(false)
  const [away, setAway] = useState(false)
  const isFollowing = useCallback(() => following.current, [])
  const onScroll = useCallback(() => {
    const el = element()
    if (!el) return
    const near = el.scrollHeight - el.scrollTop - el.clientHeight < NEAR_END_PX
    const up = el.scrollTop < lastTop.current - 1
    const theirs = dragging.current || performance.now() - touchedAt.current < THEIRS_MS
    lastTop.current = el.scrollTop
    if (near) following.current = true
    else if (up && theirs) following.current = false
    setAway(!near && !following.current)
  }, [element])
  const toEnd = useCallback(() => {
    const el = element()
    if (!el) return
    following.current = true
    setAway(false)
    el.scrollTop = el.scrollHeight
  }, [element])
  useEffect(() => {
    const el = element()
    const touched = (event: Event) => {
      touchedAt.current = performance.now()
      if (event.type === 'pointerdown') dragging.current = true
    }
    const released = () => {
      dragging.current = false
    }
    for (const input of INPUTS) el?.addEventListener(input, touched, { passive: true })
    window.addEventListener('pointerup', released)
    let frame = requestAnimationFrame(function follow() {
      if (el && following.current && el.scrollHeight - el.scrollTop - el.clientHeight > 1) el.scrollTop = el.scrollHeight
      frame = requestAnimationFrame(follow)
    })
    return () => {
      for (const input of INPUTS) el?.removeEventListener(input, touched)
      window.removeEventListener('pointerup', released)
      cancelAnimationFrame(frame)
    }
  }, [element])
  return { away, isFollowing, onScroll, toEnd }
}
