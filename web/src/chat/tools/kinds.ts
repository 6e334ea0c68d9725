/** Which card shows which tool. Harnesses name the same thing differently; this is the one place that knows. */
import type { ToolPart } from '../parts'
import { planLine } from './plan'

export type ToolKind = 'bash' | 'edit' | 'read' | 'search' | 'todo' | 'task' | 'web' | 'generic'

const KINDS: Record<string, ToolKind> = {
  bash: 'bash',
  shell: 'bash',
  exec: 'bash',
  edit: 'edit',
  multiedit: 'edit',
  write: 'edit',
  patch: 'edit',
  apply_patch: 'edit',
  notebookedit: 'edit',
  read: 'read',
  list: 'read',
  ls: 'read',
  glob: 'search',
  grep: 'search',
  search: 'search',
  todowrite: 'todo',
  todoread: 'todo',
  task: 'task',
  agent: 'task',
  webfetch: 'web',
  websearch: 'web',
}

export const kindOf = (tool: string): ToolKind => KINDS[tool.toLowerCase()] ?? 'generic'

const SUBJECTS = ['command', 'filePath', 'file_path', 'path', 'pattern', 'query', 'url', 'description', 'prompt']

/** The one line that tells what the call is about. */
export function subjectOf(part: ToolPart): string {
  if (kindOf(part.tool) === 'todo') return Array.isArray(part.input.todos) ? planLine(part.input.todos) : ''
  const found = SUBJECTS.map((key) => part.input[key]).find((v) => typeof v === 'string' && v)
  if (typeof found === 'string') return found.split('\n')[0] ?? ''
  return part.title ?? (part.rawInput === '{}' ? '' : part.rawInput.slice(0, 300))
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
