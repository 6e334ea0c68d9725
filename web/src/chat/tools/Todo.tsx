/** The agent's plan as it wrote it down in this call. */
import { TodoList } from '../TodoList'
import type { CardProps } from './ToolCard'
import { Output, waitingNote } from './Output'
import { todosOf } from './plan'
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
