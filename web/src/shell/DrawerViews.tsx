/** The rail's entries as a row at the foot of the phone's drawer. */
import { Link } from '@tanstack/react-router'
import { House } from 'lucide-react'
import { AccountMenu, ThemeAction, useViews } from './Rail'
import css from './shell.module.css'

export function DrawerViews({ project }: { project: string | undefined }) {
  const views = useViews(project)
  return (
    <nav className={css.drawerViews} aria-label="Views">
      <Link to="/" className={css.drawerView}>
        <House size={18} aria-hidden />
        Home
      </Link>
      {views.map(({ label, icon: Icon, link, here }) => (
        <Link key={label} {...link} className={css.drawerView} aria-current={here ? 'page' : undefined}>
          <Icon size={18} aria-hidden />
          {label}
        </Link>
      ))}
      <span className={css.drawerFoot}>
        <ThemeAction />
        <AccountMenu />
      </span>
    </nav>
  )
}
