/** The agent's reasoning, folded unless one wants to read it. */
import { UnstyledButton } from '@mantine/core'
import { Brain, ChevronRight } from 'lucide-react'
import { useState } from 'react'
import type { TextPart } from './parts'
import css from './chat.module.css'

export function Thinking({ part }: { part: TextPart }) {
  const [open, setOpen] = useState(false)
  return (
    <section className={css.think} aria-label="Reasoning">
      <UnstyledButton className={css.thinkHead} aria-expanded={open} onClick={() => setOpen(!open)}>
        <Brain size={14} aria-hidden />
        {part.done ? 'Thought' : 'Thinking…'}
        {!open && part.done && <span className={css.thinkPeek}>{firstLine(part.text)}</span>}
        <ChevronRight size={13} className={css.chevron} data-open={open || undefined} aria-hidden />
      </UnstyledButton>
      {open && <p>{part.text}</p>}
    </section>
  )
}

const firstLine = (text: string) => text.trim().split('\n')[0]?.replaceAll('**', '')
