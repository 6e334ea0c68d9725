/** What a transcript is made of: one part a row, replaced (never changed) when an event touches it. */
import type { Answer } from '../api/types'
import type { Outcome, Parsed, Question } from './events'

interface Base {
  id: string
  turnNo: number
  child?: string
}

export interface UserPart extends Base {
  kind: 'user'
  turnId: string
  text: string
  username: string
  started: boolean
}

export interface TextPart extends Base {
  kind: 'text' | 'thinking'
  text: string
  done: boolean
}

export interface ToolPart extends Base {
  kind: 'tool'
  tool: string
  title?: string
  input: Record<string, unknown>
  rawInput: string
  output: string
  diff?: string
  parsed?: Parsed
  /** The events of which only the beginning is here, and how large they are together. */
  cut?: { seqs: number[]; bytes: number }
  state: 'running' | 'ok' | 'failed' | 'cut'
}

export interface QuestionPart extends Base {
  kind: 'question'
  ask: 'question' | 'permission'
  questions: Question[]
  answers: Answer[] | null
  closed: boolean
}

export interface ErrorPart extends Base {
  kind: 'error'
  message: string
}

export interface UnknownPart extends Base {
  kind: 'unknown'
  frameType: string
  preview: string
}

export interface EndPart extends Base {
  kind: 'end'
  outcome: Outcome
  stoppedBy?: string
}

export type Part = UserPart | TextPart | ToolPart | QuestionPart | ErrorPart | UnknownPart | EndPart
