/** A tool call as a card: state by icon and word, what it is about, its output when opened. */
import { Loader, UnstyledButton } from '@mantine/core'
import {
  Ban,
  BookOpen,
  Bot,
  ChevronRight,
  CircleCheck,
  CircleX,
  FilePen,
  Globe,
  ListTodo,
  Search,
  Terminal,
  Wrench,
  type LucideIcon,
} from 'lucide-react'
import { memo, useState, type ComponentType } from 'react'
import type { ToolPart } from '../parts'
import { BashOutput } from './Bash'
import { EditOutput, hasChange } from './Edit'
import { GenericOutput } from './Generic'
import { kindOf, subjectOf, type ToolKind } from './kinds'
import { LoadRest } from './LoadRest'
import { ReadOutput } from './Read'
import { SearchOutput } from './Search'
import { TaskOutput } from './Task'
import { TodoOutput } from './Todo'
import css from './tools.module.css'

export interface CardProps {
  part: ToolPart
}

const CARDS: Record<ToolKind, { icon: LucideIcon; output: ComponentType<CardProps> }> = {
  bash: { icon: Terminal, output: BashOutput },
  edit: { icon: FilePen, output: EditOutput },
  read: { icon: BookOpen, output: ReadOutput },
  search: { icon: Search, output: SearchOutput },
  todo: { icon: ListTodo, output: TodoOutput },
  task: { icon: Bot, output: TaskOutput },
  web: { icon: Globe, output: GenericOutput },
  generic: { icon: Wrench, output: GenericOutput },
}

const WORDS = { running: 'running', ok: 'succeeded', failed: 'failed', cut: 'not finished' }

export const ToolCard = memo(function ToolCard({ part }: CardProps) {
  const kind = kindOf(part.tool)
  const { icon: Icon, output: Output } = CARDS[kind]
  const [whole, setWhole] = useState<ToolPart | null>(null)
  const shown = whole?.cut === part.cut ? (whole ?? part) : part
  const [chosen, setChosen] = useState<boolean | null>(null)
  const open = chosen ?? opensByItself(part, kind)
  const subject = subjectOf(part)
  return (
    <section
      className={css.card}
      data-state={part.state}
      data-tool={part.tool}
      aria-label={`Tool ${part.tool} ${WORDS[part.state]}`}
    >
      <UnstyledButton className={css.head} aria-expanded={open} onClick={() => setChosen(!open)}>
        <StateIcon state={part.state} />
        <Icon size={14} aria-hidden className={css.kind} />
        <b>{part.tool}</b>
        <code title={subject}>{subject}</code>
        {part.state === 'failed' && <span className={css.failed}>failed</span>}
        {part.state === 'cut' && <span className={css.cut}>not finished</span>}
        <ChevronRight size={14} className={css.chevron} data-open={open || undefined} aria-hidden />
      </UnstyledButton>
      {open && <Output part={shown} />}
      {open && part.cut && shown === part && <LoadRest part={part} onLoaded={setWhole} />}
    </section>
  )
})

/** Changes and failures are what a reader looks for; the rest stays folded. */
function opensByItself(part: ToolPart, kind: ToolKind): boolean {
  if (part.state === 'failed') return true
  return kind === 'edit' && hasChange(part)
}

function StateIcon({ state }: { state: ToolPart['state'] }) {
  if (state === 'running') return <Loader size={14} role="img" aria-label="running" />
  if (state === 'ok') return <CircleCheck size={15} className={css.ok} role="img" aria-label="succeeded" />
  if (state === 'cut') return <Ban size={15} className={css.kind} role="img" aria-label="not finished" />
  return <CircleX size={15} className={css.bad} role="img" aria-label="failed" />
}
