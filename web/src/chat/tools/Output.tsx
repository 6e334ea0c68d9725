/** Text that a tool gave: the first part of it, all of it on demand, with a copy button. */
import { Button } from '@mantine/core'
import { useState } from 'react'
import { CopyAction } from '../../ui/CopyAction'
import css from './tools.module.css'

const SHOWN = 6_000

export function Output({ text, label = 'Output', empty }: { text: string; label?: string; empty?: string }) {
  const [all, setAll] = useState(false)
  if (!text.trim()) return empty ? <p className={css.note}>{empty}</p> : null
  const cut = !all && text.length > SHOWN
  return (
    <div className={css.output}>
      <pre className={css.out} tabIndex={0} aria-label={label}>
        {cut ? text.slice(0, SHOWN) : text}
      </pre>
      <span className={css.copy}>
        <CopyAction text={text} label="Copy output" />
      </span>
      {cut && (
        <Button variant="subtle" size="compact-xs" m={6} onClick={() => setAll(true)}>
          Show all {text.length.toLocaleString('en')} characters
        </Button>
      )}
    </div>
  )
}

/** What a card says while its call runs or ended with nothing. */
export const waitingNote = (state: string) => (state === 'running' ? 'Running…' : 'No output.')
