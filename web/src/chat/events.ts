/** The event log's vocabulary. A type that is not listed here is ignored by the store. */
import type { Answer } from '../api/types'

/** The event has but the beginning; the whole is read by its number. */
export interface Large {
  large?: { digest: string; bytes: number }
}

interface Child {
  /** The sub-agent that said it; absent for the turn's own agent. */
  child?: string
}

export interface QuestionOption {
  label: string
  description: string
  preview?: string
}

export interface Question {
  question: string
  header: string
  options: QuestionOption[]
  multiSelect?: boolean
}

export interface Todo {
  content: string
  status: string
}

export type Outcome = 'completed' | 'aborted' | 'failed'

export interface EventData {
  'prompt.accepted': { turnId: string; messageId: string; text: string; username: string }
  'prompt.removed': { turnId: string }
  'turn.started': { turnId: string }
  'turn.status': { message: string }
  'message.delta': { partId: string; text: string; offset?: number } & Child
  'message.thinking': { partId: string; text: string; offset?: number } & Child
  'message.reset': { partId: string; text: string; thinking: boolean } & Child
  'tool.start': { toolId: string; tool: string; input: string; title?: string } & Child & Large
  'tool.done': {
    toolId: string
    tool: string
    output: string
    ok?: boolean
    diff?: string
    parsed?: Parsed
  } & Child &
    Large
  'question.asked': { partId: string; questions: Question[]; kind?: 'question' | 'permission' } & Child
  'question.answered': { partId: string; answers: Answer[] }
  'session.title': { title: string }
  'session.error': { message: string }
  'session.idle': { outcome?: Outcome; stoppedBy?: string }
  'todo.updated': { todos: Todo[] }
  'usage.updated': { inputTokens: number; outputTokens: number; cost: number | null }
  'harness.unknown': { frameType: string; preview: string }
}

export interface Parsed {
  path?: string
  fileType?: 'file' | 'directory'
  lines?: { n: number; text: string }[]
  totalLines?: number
  paths?: string[]
}

type Numbered<K extends keyof EventData> = K extends keyof EventData
  ? { seq: number; turn_no: number; type: K; data: EventData[K] }
  : never

export type LogEvent = Numbered<keyof EventData>

/** An event as it comes from the wire, its type not yet known to be one of ours. */
export interface WireEvent {
  seq: number
  turn_no: number
  type: string
  data: unknown
}
