/** The line at the bottom: who, connection, what the site runs on. */
import { Anchor, Kbd, Popover, Text, UnstyledButton } from '@mantine/core'
import { spotlight } from '@mantine/spotlight'
import { useQuery } from '@tanstack/react-query'
import { FlaskConical, ShieldOff, type LucideIcon } from 'lucide-react'
import type { ReactNode } from 'react'
import { queries } from '../api/queries'
import { StatusDot } from '../ui/StatusDot'
import { useLinkState } from './useLink'
import css from './shell.module.css'

const LINK = {
  connecting: { dot: 'starting', word: 'Connecting' },
  online: { dot: 'ready', word: 'Connected' },
  lost: { dot: 'failed', word: 'Reconnecting' },
} as const

export function StatusBar() {
  const { data: me } = useQuery(queries.me())
  const { data: site } = useQuery(queries.site())
  const link = LINK[useLinkState()]
  return (
    <footer className={css.status}>
      <span className={css.wideOnly}>{me?.username}</span>
      <span className={css.statusItem}>
        <span aria-hidden>
          <StatusDot state={link.dot} />
        </span>
        {link.word}
      </span>
      <span className={css.gap} />
      {site && !site.isolation.confined && (
        <Notice icon={ShieldOff} label="Sandboxes not confined">
          {site.isolation.summary}
        </Notice>
      )}
      {site?.demo_model && (
        <Notice icon={FlaskConical} label="Demo model">
          {site.demo_hint}
        </Notice>
      )}
      {site?.temporal_ui_url && (
        <Anchor className={css.wideOnly} href={site.temporal_ui_url} target="_blank" rel="noreferrer" c="inherit" fz="inherit">
          Temporal
        </Anchor>
      )}
      <span className={css.wideOnly}>{site && `Cattery ${site.version}`}</span>
      <UnstyledButton className={css.kbd} onClick={spotlight.open} aria-label="Ctrl K opens the command palette">
        <Kbd size="xs">Ctrl K</Kbd>
      </UnstyledButton>
    </footer>
  )
}

function Notice({ icon: Icon, label, children }: { icon: LucideIcon; label: string; children: ReactNode }) {
  return (
    <Popover width={340} position="top-end" withArrow shadow="md">
      <Popover.Target>
        <UnstyledButton className={css.notice}>
          <Icon size={12} aria-hidden /> {label}
        </UnstyledButton>
      </Popover.Target>
      <Popover.Dropdown>
        <Text fz="sm" style={{ overflowWrap: 'anywhere' }}>
          {children}
        </Text>
      </Popover.Dropdown>
    </Popover>
  )
}
