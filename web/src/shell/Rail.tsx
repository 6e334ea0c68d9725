/** The narrow bar of views at the left; on a phone its entries are in the drawer. */
import { ActionIcon, Menu, Tooltip, useComputedColorScheme, useMantineColorScheme } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link, useLocation, type LinkProps } from '@tanstack/react-router'
import {
  Bot,
  CircleHelp,
  FolderTree,
  LogOut,
  Moon,
  Puzzle,
  Settings,
  Shield,
  Sun,
  UserRound,
  Users,
  type LucideIcon,
} from 'lucide-react'
import { signOut } from '../api/calls'
import { socket } from '../api/link'
import { queries } from '../api/queries'
import { attempt } from '../ui/toast'
import { IconAction } from '../ui/IconAction'
import { showShortcuts } from './Shortcuts'
import css from './shell.module.css'

interface View {
  label: string
  icon: LucideIcon
  link: LinkProps
  here: boolean
}

/** The views that there are for this person in this project. */
export function useViews(project: string | undefined): View[] {
  const { pathname } = useLocation()
  const { data: me } = useQuery(queries.me())
  const inProject: View[] = project
    ? [
        {
          label: 'Project',
          icon: Bot,
          link: { to: '/p/$project', params: { project } },
          here: /^\/p\/[^/]+(\/[hs]\/.*|\/settings)?\/?$/.test(pathname),
        },
        {
          label: 'Files',
          icon: FolderTree,
          link: { to: '/p/$project/files/$', params: { project, _splat: '' } },
          here: /^\/p\/[^/]+\/files/.test(pathname),
        },
        {
          label: 'Members',
          icon: Users,
          link: { to: '/p/$project/members', params: { project } },
          here: /^\/p\/[^/]+\/members/.test(pathname),
        },
      ]
    : []
  const skills: View = { label: 'Skills', icon: Puzzle, link: { to: '/skills' }, here: pathname.startsWith('/skills') }
  const admin: View = {
    label: 'Administration',
    icon: Shield,
    link: { to: '/admin/users' },
    here: pathname.startsWith('/admin'),
  }
  return [...inProject, skills, ...(me?.is_admin ? [admin] : [])]
}

export function Rail({ project }: { project: string | undefined }) {
  const views = useViews(project)
  return (
    <nav className={css.rail} aria-label="Views">
      <Link to="/" className={css.logo} aria-label="Home">
        <img src="/icon.svg" width={24} height={24} alt="" />
      </Link>
      {views.map(({ label, icon: Icon, link, here }) => (
        <Tooltip key={label} label={label} position="right">
          <ActionIcon
            size="lg"
            aria-label={label}
            aria-current={here ? 'page' : undefined}
            variant={here ? 'light' : 'subtle'}
            color={here ? 'brand' : 'gray'}
            renderRoot={(props) => <Link {...link} {...props} />}
          >
            <Icon size={19} aria-hidden />
          </ActionIcon>
        </Tooltip>
      ))}
      <span className={css.gap} />
      <IconAction size="lg" iconSize={19} tip="right" label="Keyboard shortcuts" icon={CircleHelp} onClick={showShortcuts} />
      <ThemeAction />
      <AccountMenu />
    </nav>
  )
}

export function ThemeAction() {
  const { setColorScheme } = useMantineColorScheme()
  const scheme = useComputedColorScheme('light')
  const next = scheme === 'dark' ? 'light' : 'dark'
  return (
    <IconAction
      size="lg"
      iconSize={19}
      tip="right"
      label={`Switch to ${next} theme`}
      icon={scheme === 'dark' ? Sun : Moon}
      onClick={() => setColorScheme(next)}
    />
  )
}

export function AccountMenu() {
  const { data: me } = useQuery(queries.me())
  return (
    <Menu position="right-end" width={200}>
      <Menu.Target>
        <ActionIcon size="lg" aria-label="Account">
          <UserRound size={19} aria-hidden />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          {me?.username}
          {me?.is_admin && ' · admin'}
        </Menu.Label>
        <Menu.Item leftSection={<Settings size={14} />} renderRoot={(props) => <Link to="/settings" {...props} />}>
          Settings
        </Menu.Item>
        <Menu.Item leftSection={<LogOut size={14} />} onClick={leave}>
          Sign out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  )
}

/** The socket goes first: told of the sign-out, it would send the browser to sign in and back here. */
export async function leave() {
  socket.stop()
  if (await attempt(signOut, 'Could not sign out')) location.assign('/login')
  else socket.start()
}
