/** Where in the workspace one is; each folder on the way is a link and takes what is dropped on it. */
import { Link } from '@tanstack/react-router'
import { ChevronRight } from 'lucide-react'
import { move } from './changes'
import { DRAGGED } from './dragging'
import css from './files.module.css'

export function PathLine({ project, path }: { project: string; path: string }) {
  const names = path.split('/').filter(Boolean)
  const steps = [{ name: 'Files', to: '/' }, ...names.map((name, i) => ({ name, to: `/${names.slice(0, i + 1).join('/')}` }))]
  return (
    <nav className={css.path} aria-label="Path">
      <ol>
        {steps.map(({ name, to }, i) => (
          <li key={to}>
            {i > 0 && <ChevronRight size={13} aria-hidden />}
            <Link
              to="/p/$project/files/$"
              params={{ project, _splat: to.slice(1) }}
              aria-current={i === steps.length - 1 ? 'page' : undefined}
              onDragOver={(event) => event.dataTransfer.types.includes(DRAGGED) && event.preventDefault()}
              onDrop={(event) => {
                event.preventDefault()
                event.stopPropagation()
                const dragged = event.dataTransfer.getData(DRAGGED)
                if (dragged) void move(project, dragged, to)
              }}
            >
              {name}
            </Link>
          </li>
        ))}
      </ol>
    </nav>
  )
}
