/** The frame of the administration: its pages as tabs, and a plain word to who may not. */
import { Group } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { ShieldX } from 'lucide-react'
import type { ReactNode } from 'react'
import { queries } from '../api/queries'
import { EmptyState } from '../ui/EmptyState'
import { Page } from '../ui/Page'
import css from './admin.module.css'

export function AdminPage({ actions, children }: { actions?: ReactNode; children: ReactNode }) {
  const { data: me } = useQuery(queries.me())
  if (me && !me.is_admin) {
    return <EmptyState level={1} icon={ShieldX} title="For administrators" text="You may not see this page. Ask an administrator of this site." />
  }
  return (
    <Page title="Administration" actions={actions}>
      <nav aria-label="Administration">
        <Group gap={4} mb="md">
          <Link to="/admin/users" className={css.tab} activeProps={{ 'aria-current': 'page' }}>
            Users
          </Link>
          <Link to="/admin/models" className={css.tab} activeProps={{ 'aria-current': 'page' }}>
            Models
          </Link>
          <Link to="/admin/deletions" className={css.tab} activeProps={{ 'aria-current': 'page' }}>
            Deletions
          </Link>
          <Link to="/admin/system" className={css.tab} activeProps={{ 'aria-current': 'page' }}>
            System
          </Link>
        </Group>
      </nav>
      {children}
    </Page>
  )
}
