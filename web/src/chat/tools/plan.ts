/** A plan as the todo tool takes it; a harness may write it in part, or not at all. */
import type { Todo } from '../events'

/** The plan in one line: how far it is, and what comes now. */
export function planLine(value: unknown): string {
  const todos = todosOf(value) ?? []
  const done = todos.filter(({ status }) => status === 'completed').length
  const now = todos.find(({ status }) => status === 'in_progress')
  return `${done} of ${todos.length} done${now ? ` · ${now.content}` : ''}`
}

export function todosOf(value: unknown): Todo[] | null {
  if (!Array.isArray(value)) return null
  return value.flatMap((item: unknown) => {
    const { content, status } = (item ?? {}) as Partial<Todo>
    return typeof content === 'string' ? [{ content, status: String(status ?? 'pending') }] : []
  })
}
