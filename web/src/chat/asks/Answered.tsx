/** A question that is closed: what was answered, or that nobody did. */
import { CircleHelp, ShieldCheck } from 'lucide-react'
import type { QuestionPart } from '../parts'
import css from './asks.module.css'

export function Answered({ part }: { part: QuestionPart }) {
  const Icon = part.ask === 'permission' ? ShieldCheck : CircleHelp
  return (
    <section className={css.closed} aria-label={part.ask === 'permission' ? 'Permission, answered' : 'Question, answered'}>
      <Icon size={15} aria-hidden />
      <div>
        {part.questions.map(({ question }, i) => {
          const answer = part.answers?.[i]
          const said = [...(answer?.selectedLabels ?? []), ...(answer?.notes ? [answer.notes] : [])]
          return (
            <p key={question}>
              {question} <b>{said.length > 0 ? said.join(', ') : 'not answered'}</b>
            </p>
          )
        })}
      </div>
    </section>
  )
}
