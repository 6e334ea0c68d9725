/** Something long that stays folded until somebody wants it; the browser's own, so keyboards know it. */
import { ChevronRight } from 'lucide-react'
import type { ReactNode } from 'react'
import css from './ui.module.css'

interface Props {
  title: ReactNode
  /** Whether it comes unfolded; from then on it is as the person leaves it. */
  open?: boolean
  children: ReactNode
}

export function Fold({ title, open, children }: Props) {
  return (
    <details className={css.fold} open={open}>
      <summary>
        <ChevronRight size={14} aria-hidden />
        {title}
      </summary>
      {children}
    </details>
  )
}
