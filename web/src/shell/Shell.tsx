/** What surrounds every page behind sign-in: rail, tree, tabs, status bar, palette, drawer. */
import '@mantine/notifications/styles.css'
import '@mantine/spotlight/styles.css'
import { Drawer, Splitter, useComputedColorScheme, useMantineColorScheme } from '@mantine/core'
import { useHotkeys, useLocalStorage, useMediaQuery } from '@mantine/hooks'
import { ModalsProvider } from '@mantine/modals'
import { Notifications } from '@mantine/notifications'
import { useQuery } from '@tanstack/react-query'
import { Outlet, useLocation, useParams } from '@tanstack/react-router'
import { Menu as MenuIcon } from 'lucide-react'
import { useEffect, useState, type ReactNode } from 'react'
import { socket } from '../api/link'
import { queries } from '../api/queries'
import { IconAction } from '../ui/IconAction'
import { ConnectionBanner } from './Banner'
import { CommandPalette } from './CommandPalette'
import { DrawerViews } from './DrawerViews'
import { Navigator } from './Navigator'
import { Rail } from './Rail'
import { showShortcuts } from './Shortcuts'
import { StatusBar } from './StatusBar'
import { openTab, type Tab } from './tabs'
import { TabStrip } from './TabStrip'
import { useCurrentProject, usePlace } from './where'
import css from './shell.module.css'

const NAV_MIN = 210
const NAV_MAX = 460

/** Dialogs stand inside the router, because what they do may lead elsewhere. */
export function Shell() {
  return (
    <ModalsProvider>
      <Notifications position="top-center" limit={4} autoClose={6_000} />
      <Frame />
    </ModalsProvider>
  )
}

function Frame() {
  const project = useCurrentProject()
  const mobile = useMediaQuery('(max-width: 48em)', false, { getInitialValueInEffect: false })
  const tab = useCurrentTab()
  useQuery({ ...queries.me(), refetchInterval: 60_000 })
  useEffect(() => {
    socket.start()
    return () => socket.stop()
  }, [])
  useGlobalHotkeys()
  const main = (
    <div className={css.main}>
      <ConnectionBanner />
      <TopBar mobile={mobile} project={project} tab={tab} />
      <main className={css.content} id="content">
        <Outlet />
      </main>
    </div>
  )
  return (
    <div className={css.shell}>
      <a href="#content" className={css.skip}>
        Skip to content
      </a>
      <div className={css.body}>
        {mobile ? main : <Wide project={project}>{main}</Wide>}
      </div>
      <StatusBar />
      <CommandPalette project={project} />
    </div>
  )
}

function Wide({ project, children }: { project: string | undefined; children: ReactNode }) {
  const [width, setWidth] = useLocalStorage({
    key: 'cattery-nav-width',
    defaultValue: 272,
    getInitialValueInEffect: false,
  })
  return (
    <>
      <Rail project={project} />
      <Splitter
        className={css.split}
        withHandle={false}
        lineSize={1}
        handleColor="var(--app-line)"
        onResizeEnd={(_, sizes) => setWidth(clamp(Number.parseFloat(String(sizes[0]))))}
      >
        <Splitter.Pane defaultSize={`${clamp(width)}px`} min={`${NAV_MIN}px`} max={`${NAV_MAX}px`}>
          <Navigator project={project} />
        </Splitter.Pane>
        <Splitter.Pane defaultSize={100} min="320px">
          {children}
        </Splitter.Pane>
      </Splitter>
    </>
  )
}

const clamp = (width: number) => Math.min(NAV_MAX, Math.max(NAV_MIN, width || NAV_MIN))

function TopBar({ mobile, project, tab }: { mobile: boolean; project: string | undefined; tab: Tab | null }) {
  const { pathname } = useLocation()
  // Open on the page where it was opened: going somewhere closes it.
  const [openAt, setOpenAt] = useState<string | null>(null)
  const close = () => setOpenAt(null)
  return (
    <div className={css.tabbar}>
      {mobile && (
        <>
          <IconAction size={44} iconSize={19} label="Open navigation" icon={MenuIcon} onClick={() => setOpenAt(pathname)} />
          <Drawer
            opened={openAt === pathname}
            onClose={close}
            size="86%"
            padding={0}
            withCloseButton={false}
            attributes={{ content: { 'aria-label': 'Navigation' } }}
            classNames={{ body: css.drawerBody, content: css.drawerContent }}
          >
            <Navigator project={project} />
            <DrawerViews project={project} />
          </Drawer>
        </>
      )}
      <TabStrip current={tab} />
    </div>
  )
}

/** The tab of the page that is shown; visiting a page opens its tab. */
function useCurrentTab(): Tab | null {
  const { project, harness, session, path } = usePlace()
  const { slug } = useParams({ strict: false })
  const tab = tabOf({ project, harness, session, path, slug })
  const key = JSON.stringify(tab)
  useEffect(() => {
    const visited = JSON.parse(key) as Tab | null
    // A folder is a place to pass through, a file is something to keep open.
    if (visited && !(visited.kind === 'file' && !/[^/]$/.test(visited.id))) openTab(visited)
  }, [key])
  return tab
}

interface Ids {
  project: string | undefined
  harness: string | undefined
  session: string | undefined
  path: string | undefined
  slug: string | undefined
}

function tabOf({ project = null, harness, session, path, slug }: { project?: string | null | undefined } & Omit<Ids, 'project'>): Tab | null {
  if (session) return { kind: 'session', project, id: session }
  if (harness) return { kind: 'harness', project, id: harness }
  if (path) return { kind: 'file', project, id: path }
  if (slug) return { kind: 'skill', project: null, id: slug }
  return null
}

function useGlobalHotkeys() {
  const { setColorScheme } = useMantineColorScheme()
  const scheme = useComputedColorScheme('light')
  useHotkeys([['mod+shift+L', () => setColorScheme(scheme === 'dark' ? 'light' : 'dark')]], [])
  useHotkeys([['shift+?', showShortcuts]])
}
