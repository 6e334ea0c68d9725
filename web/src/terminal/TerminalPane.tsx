/** The terminal itself: xterm.js on a connection, fitted to its place, in the colours of the page. */
import { Button, useComputedColorScheme } from '@mantine/core'
import { FitAddon } from '@xterm/addon-fit'
import { Terminal } from '@xterm/xterm'
import '@xterm/xterm/css/xterm.css'
import { PlugZap, Power } from 'lucide-react'
import { useEffect, useRef, useState } from 'react'
import { Notice } from '../ui/Notice'
import { Connection, type Ending, type State } from './connection'
import { PALETTES } from './palette'
import css from './terminal.module.css'

interface Props {
  sessionId: string
  title: string
}

const FONT_PATIENCE = 1_500
const FONT = "'Geist Mono Variable', ui-monospace, monospace"

export function TerminalPane({ sessionId, title }: Props) {
  const scheme = useComputedColorScheme('dark')
  const place = useRef<HTMLDivElement>(null)
  const terminal = useRef<Terminal | null>(null)
  const connection = useRef<Connection | null>(null)
  const firstScheme = useRef(scheme)
  const [state, setState] = useState<State>('connecting')
  const [ending, setEnding] = useState<Ending | null>(null)

  useEffect(() => {
    const opened = openTerminal(place.current!, sessionId, firstScheme.current, (now, end) => {
      setState(now)
      setEnding(end)
    })
    terminal.current = opened.terminal
    connection.current = opened.connection
    return opened.dispose
  }, [sessionId])

  // A change of theme keeps the connection: the program is told, the colours change in place.
  useEffect(() => {
    if (terminal.current) terminal.current.options.theme = PALETTES[scheme]
    connection.current?.theme(scheme)
  }, [scheme])

  const again = () => {
    connection.current?.again()
    terminal.current?.focus()
  }
  return (
    <section className={css.pane} data-scheme={scheme} aria-label={`Terminal of ${title}`}>
      {state === 'waiting' && (
        <Notice kind="warn" icon={PlugZap} role="status" actions={<Button size="compact-sm" variant="default" onClick={again}>Connect now</Button>}>
          The connection to the terminal was lost. It is made again; what you type now is not sent.
        </Notice>
      )}
      {ending && (
        <Notice
          kind={ending.again ? 'warn' : 'bad'}
          icon={Power}
          role="alert"
          actions={ending.again && <Button size="compact-sm" variant="default" onClick={again}>Open the terminal</Button>}
        >
          {ending.message}
        </Notice>
      )}
      <div ref={place} className={css.place} data-testid="terminal" data-state={state} />
      <p className={css.hint}>Ctrl+Shift+C copies, Ctrl+Shift+V pastes. Ctrl+Shift+Escape leaves the terminal.</p>
    </section>
  )
}

function openTerminal(
  place: HTMLElement,
  sessionId: string,
  scheme: 'light' | 'dark',
  changed: (state: State, ending: Ending | null) => void,
) {
  const terminal = new Terminal({
    fontFamily: FONT,
    fontSize: 13,
    scrollback: 5_000,
    theme: PALETTES[scheme],
    minimumContrastRatio: 4.5,
    screenReaderMode: true,
    macOptionIsMeta: true,
    linkHandler: { activate: (_, address) => openLink(address) },
  })
  const fit = new FitAddon()
  terminal.loadAddon(fit)
  const protocol = location.protocol === 'https:' ? 'wss' : 'ws'
  const connection = new Connection({
    open: () => new WebSocket(`${protocol}://${location.host}/api/v1/sessions/${sessionId}/term`),
    output: (bytes) => terminal.write(bytes),
    changed,
  })
  terminal.onData((text) => connection.type(text))
  terminal.onBinary((text) => connection.typeBinary(text))
  terminal.onResize(({ cols, rows }) => connection.resize(cols, rows))
  terminal.attachCustomKeyEventHandler((event) => handleKey(event, terminal))
  connection.theme(scheme)
  let gone = false
  const observer = new ResizeObserver(() => place.clientHeight > 0 && fit.fit())
  // The letters are measured when it opens: the font has to be there.
  const begin = async () => {
    await Promise.race([document.fonts.load(`13px ${FONT}`), new Promise((done) => setTimeout(done, FONT_PATIENCE))])
    if (gone) return
    terminal.open(place)
    fit.fit()
    connection.resize(terminal.cols, terminal.rows)
    observer.observe(place)
    connection.start()
    terminal.focus()
  }
  void begin()
  const dispose = () => {
    gone = true
    observer.disconnect()
    connection.close()
    terminal.dispose()
  }
  return { terminal, connection, dispose }
}

/** Keys that are ours and not the program's; false keeps them from it. */
function handleKey(event: KeyboardEvent, terminal: Terminal): boolean {
  if (event.type !== 'keydown' || !event.ctrlKey || !event.shiftKey) return true
  if (event.code === 'KeyC') {
    event.preventDefault()
    if (terminal.hasSelection()) void navigator.clipboard?.writeText(terminal.getSelection())
    return false
  }
  if (event.code === 'KeyV') return false // the browser pastes, and xterm.js takes it
  if (event.code === 'Escape') {
    terminal.blur()
    return false
  }
  return true
}

/** Links come from a program that is not trusted: only web pages, in a tab that knows nothing of ours. */
function openLink(address: string) {
  if (/^https?:\/\//i.test(address)) window.open(address, '_blank', 'noopener,noreferrer')
}
