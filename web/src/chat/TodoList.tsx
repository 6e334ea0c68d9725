/** The agent's plan: each item with its state by icon and word. */
import { Circle, CircleCheck, CircleDot, CircleSlash } from 'lucide-react'
import type { Todo } from './events'
import css from './chat.module.css'

export function TodoList({ todos }: { todos: Todo[] }) {
  return (
    <ul className={css.todoList}>
      {todos.map(({ content, status }, i) => (
        <li key={`${i} ${content}`} data-status={status}>
          <TodoIcon status={status} />
          <span>{content}</span>
        </li>
      ))}
    </ul>
  )
}

function TodoIcon({ status }: { status: string }) {
  if (status === 'completed') return <CircleCheck size={14} role="img" aria-label="done" />
  if (status === 'in_progress') return <CircleDot size={14} role="img" aria-label="in progress" />
  if (status === 'cancelled') return <CircleSlash size={14} role="img" aria-label="dropped" />
  return <Circle size={14} role="img" aria-label="to do" />
}
