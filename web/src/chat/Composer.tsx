/** Where one writes: Enter sends (or queues while the agent works), Esc stops, drafts are kept. */
import { ActionIcon, Kbd, Textarea, Tooltip } from '@mantine/core'
import { ArrowUp, ListPlus, Square } from 'lucide-react'
import { useContext, useEffect, useRef, useState, useSyncExternalStore, type KeyboardEvent, type ReactNode } from 'react'
import { abortTurn } from '../api/calls'
import { attempt, toastFailure } from '../ui/toast'
import { submitPrompt } from './sending'
import { SessionContext } from './SessionContext'
import css from './chat.module.css'

interface Props {
  disabled: string | null
  children?: ReactNode
  seed: string | null
}

export function Composer({ disabled, children, seed }: Props) {
  const { sessionId, transcript } = useContext(SessionContext)
  const working = useSyncExternalStore(transcript.subscribe, () => transcript.getMeta().working)
  const [text, setText] = useDraft(sessionId)
  const [stopping, setStopping] = useState(false)
  const input = useRef<HTMLTextAreaElement>(null)
  useEffect(() => {
    if (!seed) return
    setText(seed)
    input.current?.focus()
  }, [seed, setText])

  const send = async () => {
    const prompt = text.trim()
    if (!prompt || disabled) return
    setText('')
    try {
      await submitPrompt(sessionId, transcript, prompt)
    } catch (error) {
      setText(prompt)
      toastFailure(error, 'The prompt was not sent')
    }
  }
  const stop = async () => {
    setStopping(true)
    await attempt(() => abortTurn(sessionId), 'Could not stop the agent')
    setStopping(false)
  }
  useEscape(working && !stopping, () => void stop())
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
    event.preventDefault()
    void send()
  }
  const act = working ? 'queue' : 'send'
  return (
    <div className={css.composer}>
      {children}
      <div className={css.composerBox} data-disabled={disabled ? true : undefined}>
        <Textarea
          ref={input}
          variant="unstyled"
          aria-label="Message the agent"
          placeholder={disabled ?? (working ? 'Queue a follow-up…' : 'Ask the agent…')}
          disabled={disabled !== null}
          autosize
          autoFocus={!matchMedia('(hover: none)').matches}
          minRows={1}
          maxRows={10}
          px={14}
          pt={5}
          classNames={{ input: css.composerInput }}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
          onKeyDown={onKeyDown}
        />
        <div className={css.composerBar}>
          <span className={css.hint}>
            <Kbd size="xs">Enter</Kbd> {act} · <Kbd size="xs">Shift</Kbd>+<Kbd size="xs">Enter</Kbd> new line
            {working && (
              <>
                {' '}
                · <Kbd size="xs">Esc</Kbd> stop
              </>
            )}
          </span>
          <span className={css.gap} />
          {working && (
            <Tooltip label="Stop (Esc)">
              <ActionIcon
                radius="xl"
                size={36}
                variant="light"
                color="red"
                aria-label="Stop"
                loading={stopping}
                onClick={() => void stop()}
              >
                <Square size={14} fill="currentColor" aria-hidden />
              </ActionIcon>
            </Tooltip>
          )}
          <ActionIcon
            radius="xl"
            size={36}
            variant="filled"
            color="brand"
            aria-label={working ? 'Queue the prompt' : 'Send'}
            disabled={!text.trim() || disabled !== null}
            onClick={() => void send()}
          >
            {working ? <ListPlus size={17} aria-hidden /> : <ArrowUp size={17} aria-hidden />}
          </ActionIcon>
        </div>
      </div>
    </div>
  )
}

/** What was typed and not sent stays with its session, until the browser closes. */
function useDraft(sessionId: string) {
  const key = `cattery-draft-${sessionId}`
  const [text, setText] = useState(() => sessionStorage.getItem(key) ?? '')
  useEffect(() => {
    if (text) sessionStorage.setItem(key, text)
    else sessionStorage.removeItem(key)
  }, [key, text])
  return [text, setText] as const
}

/** Esc anywhere on the page, unless a dialog or menu is open and takes it. */
function useEscape(active: boolean, act: () => void) {
  useEffect(() => {
    if (!active) return undefined
    const onKey = (event: globalThis.KeyboardEvent) => {
      if (event.key !== 'Escape' || event.defaultPrevented || event.isComposing) return
      if (document.querySelector('[role="dialog"], [role="menu"], [role="listbox"]')) return
      act()
    }
    window.addEventListener('keydown', onKey)
    return () => window.removeEventListener('keydown', onKey)
  }, [active, act])
}
