/** The agent's plan as it wrote it down in this call. */
import type { Todo } from '../events'
import { TodoList } from '../TodoList'
import type { CardProps } from './ToolCard'
import { Output, waitingNote } from './Output'
import css from './tools.module.css'

export function TodoOutput({ part }: CardProps) {
  const todos = todosOf(part.input.todos)
  if (!todos) return <Output text={part.output} empty={waitingNote(part.state)} />
  return (
    <div className={css.todos}>
      <TodoList todos={todos} />
    </div>
  )
}

function todosOf(value: unknown): Todo[] | null {
  if (!Array.isArray(value)) return null
  return value.flatMap((item: unknown) => {
    const { content, status } = (item ?? {}) as Partial<Todo>
    return typeof content === 'string' ? [{ content, status: String(status ?? 'pending') }] : []
  })
}
