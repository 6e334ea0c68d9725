/** The frame of a page that scrolls: header with actions, panels below. */
import { Text, Title } from '@mantine/core'
import type { ReactNode } from 'react'
import css from './ui.module.css'

interface Props {
  title: ReactNode
  text?: ReactNode
  actions?: ReactNode
  children: ReactNode
}

export function Page({ title, text, actions, children }: Props) {
  return (
    <div className={css.page}>
      <div className={css.inner}>
        <header className={css.header}>
          <div className={css.headerText}>
            <Title order={1} fz={20}>
              {title}
            </Title>
            {text && (
              <Text c="dimmed" fz="sm" component="div" mt={2}>
                {text}
              </Text>
            )}
          </div>
          {actions}
        </header>
        {children}
      </div>
    </div>
  )
}

interface PanelProps {
  title: string
  actions?: ReactNode
  children: ReactNode
  /** A list or table brings its own padding. */
  flush?: boolean
}

export function Panel({ title, actions, children, flush }: PanelProps) {
  return (
    <section className={css.panel} aria-label={title}>
      <div className={css.panelHead}>
        <Title order={2}>{title}</Title>
        {actions}
      </div>
      <div className={flush ? undefined : css.panelBody}>{children}</div>
    </section>
  )
}
