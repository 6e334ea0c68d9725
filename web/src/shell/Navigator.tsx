/** The project's tree: harnesses and their sessions, each row with its actions. */
import { ActionIcon, Badge, Menu, Text, type TreeNodeData } from '@mantine/core'
import { spotlight } from '@mantine/spotlight'
import { useQueries, useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { Download, Ellipsis, MessageSquare, Pencil, Plus, Search, SquareTerminal, Trash2 } from 'lucide-react'
import { useMemo } from 'react'
import { ApiError } from '../api/client'
import { queries } from '../api/queries'
import type { Harness, Session } from '../api/types'
import { useNewHarness } from '../harness/newHarness'
import { askHarnessName, confirmHarnessDeletion } from '../harness/harnesses'
import { dotOf, whyOf } from '../harness/sandbox'
import { askSessionTitle, confirmSessionDeletion, exportAddress, useNewSession } from '../harness/sessions'
import { TreeView } from '../tree/TreeView'
import { Ago } from '../ui/Ago'
import { IconAction } from '../ui/IconAction'
import { StatusDot } from '../ui/StatusDot'
import { harnessName, sessionTitle } from './names'
import { ProjectPicker } from './ProjectPicker'
import { usePlace } from './where'
import css from './shell.module.css'

export function Navigator({ project }: { project: string | undefined }) {
  return (
    <nav className={css.nav} aria-label="Project">
      <div className={css.navHead}>
        <ProjectPicker project={project} />
        <IconAction label="Search" icon={Search} onClick={spotlight.open} />
      </div>
      {project && <HarnessTree key={project} project={project} />}
    </nav>
  )
}

interface Node {
  harness: Harness
  session?: Session
}

function HarnessTree({ project }: { project: string }) {
  const newHarness = useNewHarness(project)
  const { data: harnesses, error } = useQuery(queries.harnesses(project))
  const lists = useQueries({ queries: (harnesses ?? []).map((h) => queries.sessions(h.harness_id)), combine: dataOf })
  const nodes = useMemo(() => index(harnesses ?? [], lists), [harnesses, lists])
  // The project that was looked at last is gone.
  if (error instanceof ApiError && error.status === 404) return null
  return (
    <div className={css.navScroll}>
      <div className={css.sectionHead}>
        <span>Harnesses</span>
        <IconAction size="sm" iconSize={15} label="New harness" icon={Plus} onClick={newHarness} />
      </div>
      {error && (
        <Text c="dimmed" fz="xs" p="xs">
          The harnesses could not be loaded.
        </Text>
      )}
      {harnesses?.length === 0 && (
        <Text c="dimmed" fz="xs" p="xs">
          None yet. A harness runs the agent; create one to start.
        </Text>
      )}
      {harnesses && harnesses.length > 0 && <Rows project={project} nodes={nodes} />}
    </div>
  )
}

const dataOf = (results: { data?: Session[] | undefined }[]) => results.map((r) => r.data)

function index(harnesses: Harness[], lists: (Session[] | undefined)[]) {
  const byId = new Map<string, Node>()
  const data: TreeNodeData[] = harnesses.map((harness, i) => {
    byId.set(harness.harness_id, { harness })
    const children = (lists[i] ?? []).map((session) => {
      byId.set(session.session_id, { harness, session })
      return { value: session.session_id, label: sessionTitle(session) }
    })
    return { value: harness.harness_id, label: harnessName(harness), children }
  })
  return { byId, data }
}

function Rows({ project, nodes }: { project: string; nodes: ReturnType<typeof index> }) {
  const navigate = useNavigate()
  const { harness, session } = usePlace()
  const here = session ?? harness
  const leave = (id: string) => () => {
    if (id === here) void navigate({ to: '/p/$project', params: { project } })
  }
  const on = (value: string, act: (node: Node) => void) => {
    const node = nodes.byId.get(value)
    if (node) act(node)
  }
  const open = (value: string) =>
    on(value, (node) =>
      node.session
        ? void navigate({ to: '/p/$project/s/$session', params: { project, session: value } })
        : void navigate({ to: '/p/$project/h/$harness', params: { project, harness: value } }),
    )
  const rename = ({ harness, session }: Node) => (session ? askSessionTitle(session) : askHarnessName(harness))
  const remove = ({ harness, session }: Node) =>
    session
      ? confirmSessionDeletion(project, session, leave(session.session_id))
      : confirmHarnessDeletion(harness, leave(harness.harness_id))
  const mayManage = ({ harness, session }: Node) => session !== undefined || harness.access_role === 'owner'
  return (
    <TreeView
      label="Harnesses and sessions"
      data={nodes.data}
      active={here}
      open={open}
      rename={(value) => on(value, (node) => mayManage(node) && rename(node))}
      remove={(value) => on(value, (node) => mayManage(node) && remove(node))}
      row={({ value }) => {
        const node = nodes.byId.get(value)
        if (!node) return { content: null }
        const content = node.session ? <SessionRow harness={node.harness} session={node.session} /> : <HarnessRow harness={node.harness} />
        return {
          content,
          actions: <RowActions project={project} node={node} rename={() => rename(node)} remove={() => remove(node)} />,
        }
      }}
    />
  )
}

function HarnessRow({ harness }: { harness: Harness }) {
  return (
    <>
      <StatusDot state={dotOf(harness)} of="sandbox" why={whyOf(harness)} />
      <span className={css.rowLabel}>{harnessName(harness)}</span>
      <Badge size="xs" variant="default" className={css.typeBadge}>
        {harness.type}
      </Badge>
    </>
  )
}

function SessionRow({ harness, session }: { harness: Harness; session: Session }) {
  const Icon = harness.transport_kind === 'terminal' ? SquareTerminal : MessageSquare
  return (
    <>
      <Icon size={14} aria-hidden className={css.rowIcon} />
      <span className={css.rowLabel}>{sessionTitle(session)}</span>
      {session.status === 'failed' && <StatusDot state="failed" of="session" />}
      {session.working && <StatusDot state="working" of="agent" />}
      <Ago at={session.last_seen_at ?? session.created_at} className={css.rowTime} />
    </>
  )
}

interface ActionsProps {
  project: string
  node: Node
  rename: () => void
  remove: () => void
}

function RowActions({ project, node: { harness, session }, rename, remove }: ActionsProps) {
  const newSession = useNewSession()
  const name = session ? sessionTitle(session) : harnessName(harness)
  const owner = harness.access_role === 'owner'
  return (
    <>
      {!session && (
        <ActionIcon
          size="sm"
          tabIndex={-1}
          aria-label={`New session in ${name}`}
          title="New session"
          onClick={() => void newSession(project, harness.harness_id)}
        >
          <Plus size={14} aria-hidden />
        </ActionIcon>
      )}
      {(session || owner) && (
        <Menu position="bottom-end" width={170}>
          <Menu.Target>
            <ActionIcon size="sm" tabIndex={-1} aria-label={`Actions for ${name}`}>
              <Ellipsis size={14} aria-hidden />
            </ActionIcon>
          </Menu.Target>
          <Menu.Dropdown>
            <Menu.Item leftSection={<Pencil size={14} />} onClick={rename}>
              Rename…
            </Menu.Item>
            {session && (
              <Menu.Item leftSection={<Download size={14} />} component="a" href={exportAddress(session.session_id, 'md')} download>
                Export
              </Menu.Item>
            )}
            <Menu.Item leftSection={<Trash2 size={14} />} c="var(--app-bad)" onClick={remove}>
              Delete…
            </Menu.Item>
          </Menu.Dropdown>
        </Menu>
      )}
    </>
  )
}
