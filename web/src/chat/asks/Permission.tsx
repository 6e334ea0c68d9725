/** The agent asks leave to do something: one button an option, answered with one click. */
import { Button, Group } from '@mantine/core'
import { ShieldQuestionMark } from 'lucide-react'
import { useState } from 'react'
import { answerQuestion } from '../../api/calls'
import { attempt } from '../../ui/toast'
import type { QuestionPart } from '../parts'
import css from './asks.module.css'

const DENIES = /^(deny|reject|no\b|never|refuse)/i

export function Permission({ part, sessionId }: { part: QuestionPart; sessionId: string }) {
  const [busy, setBusy] = useState<string | null>(null)
  const asked = part.questions[0]
  if (!asked) return null
  const answer = async (label: string) => {
    setBusy(label)
    const answers = [{ question: asked.question, selectedLabels: [label] }]
    if (!(await attempt(() => answerQuestion(sessionId, part.id, answers), 'Could not answer'))) setBusy(null)
  }
  const first = asked.options.find(({ label }) => !DENIES.test(label))
  return (
    <section className={css.ask} aria-label="Permission needed">
      <header className={css.askHead}>
        <ShieldQuestionMark size={16} aria-hidden />
        <b>Permission needed</b>
        {asked.header && <span className={css.tag}>{asked.header}</span>}
      </header>
      <p className={css.asked}>{asked.question}</p>
      <Group gap="xs">
        {asked.options.map((option) => (
          <Button
            key={option.label}
            variant={option === first ? 'filled' : 'default'}
            title={option.description || undefined}
            loading={busy === option.label}
            disabled={busy !== null}
            onClick={() => void answer(option.label)}
          >
            {option.label}
          </Button>
        ))}
      </Group>
    </section>
  )
}
