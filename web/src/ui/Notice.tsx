/** Something to know, in the page: a calm word, a warning or a failure, told by icon and words as well as colour. */
import { CloseButton } from '@mantine/core'
import type { LucideIcon } from 'lucide-react'
import type { ReactNode } from 'react'
import css from './ui.module.css'

interface Props {
  kind: 'calm' | 'warn' | 'bad'
  icon: LucideIcon
  title?: string
  children: ReactNode
  actions?: ReactNode
  onClose?: () => void
  role?: 'alert' | 'status'
}

export function Notice({ kind, icon: Icon, title, children, actions, onClose, role }: Props) {
  return (
    <div className={css.notice} data-kind={kind} role={role}>
      <Icon size={17} aria-hidden />
      <div className={css.noticeText}>
        {title && <b>{title}</b>}
        <div>{children}</div>
      </div>
      {actions}
      {onClose && <CloseButton size="sm" aria-label="Hide this notice" onClick={onClose} />}
    </div>
  )
}
