/** What the agent waits for a person to say: a question, or leave to do something. */
import { useContext } from 'react'
import type { QuestionPart } from '../parts'
import { SessionContext } from '../SessionContext'
import { Answered } from './Answered'
import { Permission } from './Permission'
import { Question } from './Question'

export function AskCard({ part }: { part: QuestionPart }) {
  const { sessionId } = useContext(SessionContext)
  if (part.closed) return <Answered part={part} />
  if (part.ask === 'permission') return <Permission part={part} sessionId={sessionId} />
  return <Question part={part} sessionId={sessionId} />
}
