/** The open tabs as a list of links; middle-click or the cross closes one. */
import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { Bot, FileText, MessageSquare, Puzzle, X, type LucideIcon } from 'lucide-react'
import { useEffect, useRef, type ReactNode } from 'react'
import { ApiError } from '../api/client'
import { queries } from '../api/queries'
import { StatusDot } from '../ui/StatusDot'
import { harnessName, sessionTitle } from './names'
import { closeTab, neighbour, sameTab, useTabs, type Tab } from './tabs'
import css from './shell.module.css'

export function TabStrip({ current }: { current: Tab | null }) {
  const tabs = useTabs()
  const navigate = useNavigate()
  const close = (tab: Tab) => {
    const next = neighbour(tab)
    closeTab(tab)
    if (!current || !sameTab(tab, current)) return
    void navigate(next ? linkOf(next) : tab.project ? { to: '/p/$project', params: { project: tab.project } } : { to: '/' })
  }
  return (
    <nav className={css.tabs} aria-label="Open tabs">
      {tabs.map((tab) => (
        <TabItem
          key={`${tab.kind} ${tab.project} ${tab.id}`}
          tab={tab}
          active={current !== null && sameTab(tab, current)}
          close={() => close(tab)}
        />
      ))}
    </nav>
  )
}

interface ItemProps {
  tab: Tab
  active: boolean
  close: () => void
}

function TabItem(props: ItemProps) {
  const { kind } = props.tab
  if (kind === 'session') return <SessionTab {...props} />
  if (kind === 'harness') return <HarnessTab {...props} />
  const name = props.tab.id.split('/').findLast(Boolean) ?? props.tab.id
  return <TabFrame {...props} icon={kind === 'file' ? FileText : Puzzle} title={name} />
}

function SessionTab(props: ItemProps) {
  const { data, error } = useQuery(queries.session(props.tab.id))
  useGone(props.tab, error)
  return (
    <TabFrame {...props} icon={MessageSquare} title={data ? sessionTitle(data) : '…'}>
      {data?.working && <StatusDot state="working" />}
    </TabFrame>
  )
}

function HarnessTab(props: ItemProps) {
  const { data, error } = useQuery(queries.harness(props.tab.id))
  useGone(props.tab, error)
  return <TabFrame {...props} icon={Bot} title={data ? harnessName(data) : '…'} />
}

/** A tab whose object was deleted, or may no longer be seen, goes. */
function useGone(tab: Tab, error: Error | null) {
  const gone = error instanceof ApiError && error.status === 404
  useEffect(() => {
    if (gone) closeTab(tab)
  }, [gone, tab])
}

interface FrameProps extends ItemProps {
  icon: LucideIcon
  title: string
  children?: ReactNode
}

function TabFrame({ tab, active, close, icon: Icon, title, children }: FrameProps) {
  const ref = useRef<HTMLDivElement>(null)
  useEffect(() => {
    if (active) ref.current?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
  }, [active])
  return (
    <div ref={ref} className={css.tab} data-active={active || undefined}>
      <Link
        {...linkOf(tab)}
        className={css.tabLink}
        aria-current={active ? 'page' : undefined}
        title={title}
        onAuxClick={(event) => {
          if (event.button !== 1) return
          event.preventDefault()
          close()
        }}
      >
        <Icon size={14} aria-hidden />
        <span>{title}</span>
        {children}
      </Link>
      <button type="button" className={css.tabClose} aria-label={`Close ${title}`} onClick={close}>
        <X size={13} aria-hidden />
      </button>
    </div>
  )
}

/** Where a tab leads. */
export function linkOf(tab: Tab) {
  const project = tab.project ?? ''
  if (tab.kind === 'session') return { to: '/p/$project/s/$session', params: { project, session: tab.id } } as const
  if (tab.kind === 'harness') return { to: '/p/$project/h/$harness', params: { project, harness: tab.id } } as const
  if (tab.kind === 'file') return { to: '/p/$project/files/$', params: { project, _splat: tab.id } } as const
  return { to: '/skills/$slug', params: { slug: tab.id } } as const
}
