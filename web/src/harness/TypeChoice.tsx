/** The harness types as cards: what each is, what it offers, and why one cannot be chosen. */
import { Radio } from '@mantine/core'
import { useId } from 'react'
import type { HarnessType } from '../api/types'
import css from './harness.module.css'

/** In this order, in the words of a list. */
const CAPABILITIES: Record<string, string> = {
  questions: 'questions',
  permissions: 'permission requests',
  sub_agents: 'sub-agents',
  todo: 'plans',
  thinking: 'thinking',
  diff: 'diffs',
  usage: 'token counts',
  titles: 'titles',
  resume: 'conversations that outlive a restart',
}

interface Props {
  types: HarnessType[]
  value: string
  onChange: (value: string) => void
}

export function TypeChoice({ types, value, onChange }: Props) {
  const chosen = types.find((type) => type.id === value)
  const choose = (id: string) => {
    if (types.some((type) => type.id === id && type.available)) onChange(id)
  }
  return (
    <Radio.Group
      label="Type"
      value={value}
      onChange={choose}
      description={chosen && offers(chosen)}
      descriptionProps={{ mt: 6 }}
      inputWrapperOrder={['label', 'input', 'description']}
    >
      <div className={css.types}>
        {types.map((type) => (
          <TypeCard key={type.id} type={type} />
        ))}
      </div>
    </Radio.Group>
  )
}

/** A card that cannot be chosen can still be reached, so that everybody learns why. */
function TypeCard({ type }: { type: HarnessType }) {
  const about = useId()
  return (
    <Radio.Card
      value={type.id}
      aria-label={type.display_name}
      aria-describedby={about}
      aria-disabled={!type.available}
      className={css.card}
      p="xs"
    >
      <span className={css.cardTitle}>{type.display_name}</span>
      <span id={about} className={css.cardText}>
        {type.description} <span className={css.cardKind}>{type.transport_kind === 'http' ? 'Chat' : 'Terminal'}, {type.version}.</span>
        {!type.available && <span className={css.cardReason}> {type.reason || 'Not available.'}</span>}
      </span>
    </Radio.Card>
  )
}

function offers(type: HarnessType): string {
  const there = Object.keys(CAPABILITIES).filter((name) => type.capabilities.includes(name))
  return there.length === 0 ? '' : `With ${there.map((name) => CAPABILITIES[name]).join(', ')}.`
}
