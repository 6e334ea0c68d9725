/** The agent's questions: one or several choices each, a note of one's own, sent together. */
import { Button, Checkbox, Radio, Stack, TextInput } from '@mantine/core'
import { CircleHelp } from 'lucide-react'
import { useState, type FormEvent } from 'react'
import { answerQuestion } from '../../api/calls'
import { attempt } from '../../ui/toast'
import type { Question as Asked } from '../events'
import type { QuestionPart } from '../parts'
import css from './asks.module.css'

interface Choice {
  labels: string[]
  notes: string
}

const NONE: Choice = { labels: [], notes: '' }

export function Question({ part, sessionId }: { part: QuestionPart; sessionId: string }) {
  const [choices, setChoices] = useState<Choice[]>(() => part.questions.map(() => NONE))
  const [busy, setBusy] = useState(false)
  const answered = choices.every(({ labels, notes }) => labels.length > 0 || notes.trim() !== '')
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    setBusy(true)
    const answers = part.questions.map(({ question }, i) => {
      const { labels, notes } = choices[i] ?? NONE
      return { question, selectedLabels: labels, ...(notes.trim() ? { notes: notes.trim() } : {}) }
    })
    if (!(await attempt(() => answerQuestion(sessionId, part.id, answers), 'Could not answer'))) setBusy(false)
  }
  return (
    <section className={css.ask} aria-label="Question from the agent">
      <form onSubmit={submit}>
        <Stack gap="md">
          {part.questions.map((asked, i) => (
            <OneQuestion
              key={asked.question}
              asked={asked}
              choice={choices[i] ?? NONE}
              onChange={(choice) => setChoices(choices.with(i, choice))}
            />
          ))}
          <Button type="submit" loading={busy} disabled={!answered} style={{ alignSelf: 'flex-start' }}>
            Answer
          </Button>
        </Stack>
      </form>
    </section>
  )
}

interface OneProps {
  asked: Asked
  choice: Choice
  onChange: (choice: Choice) => void
}

function OneQuestion({ asked, choice, onChange }: OneProps) {
  const { question, header, options, multiSelect } = asked
  const label = (
    <span className={css.askHead}>
      <CircleHelp size={16} aria-hidden />
      {header && <span className={css.tag}>{header}</span>}
      <span className={css.asked}>{question}</span>
    </span>
  )
  const items = options.map((option) => {
    const props = { key: option.label, value: option.label, label: option.label, size: 'sm' as const }
    const description = option.description || undefined
    return multiSelect ? (
      <Checkbox {...props} key={option.label} description={description} />
    ) : (
      <Radio {...props} key={option.label} description={description} />
    )
  })
  const preview = options.find((o) => o.preview && choice.labels.includes(o.label))?.preview
  return (
    <div>
      {multiSelect ? (
        <Checkbox.Group label={label} value={choice.labels} onChange={(labels) => onChange({ ...choice, labels })}>
          <Stack gap={8} mt={8}>
            {items}
          </Stack>
        </Checkbox.Group>
      ) : (
        <Radio.Group
          label={label}
          value={choice.labels[0] ?? null}
          onChange={(value) => onChange({ ...choice, labels: [String(value)] })}
        >
          <Stack gap={8} mt={8}>
            {items}
          </Stack>
        </Radio.Group>
      )}
      {preview && (
        <pre className={css.preview} tabIndex={0} aria-label="Preview">
          {preview}
        </pre>
      )}
      <TextInput
        mt={10}
        size="xs"
        aria-label={`A note on: ${question}`}
        placeholder="Or in your own words…"
        value={choice.notes}
        onChange={(event) => onChange({ ...choice, notes: event.currentTarget.value })}
      />
    </div>
  )
}
