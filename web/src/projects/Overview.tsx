/** A project at a glance: its harnesses with live state, and where to go. */
import { Badge, Button, Group } from '@mantine/core'
import { useDocumentTitle } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { Link, useParams } from '@tanstack/react-router'
import { Bot, FolderTree, Plus, Settings } from 'lucide-react'
import { queries } from '../api/queries'
import type { Harness, Project } from '../api/types'
import { useNewHarness } from '../harness/newHarness'
import { dotOf, failureOf, whyOf } from '../harness/sandbox'
import { useNewSession } from '../harness/sessions'
import { harnessName, projectName } from '../shell/names'
import { EmptyState } from '../ui/EmptyState'
import { Loaded } from '../ui/Loaded'
import { Page, Panel } from '../ui/Page'
import { StatusDot, stateWord } from '../ui/StatusDot'
import { SiteNotices } from './SiteNotices'
import css from '../ui/ui.module.css'

export function Overview() {
  const { project: id } = useParams({ from: '/app/p/$project' })
  const project = useQuery(queries.project(id))
  useDocumentTitle(`${project.data ? projectName(project.data) : 'Project'} · Cattery`)
  return <Loaded query={project}>{(data) => <Content project={data} />}</Loaded>
}

function Content({ project }: { project: Project }) {
  const id = project.project_id
  const harnesses = useQuery(queries.harnesses(id))
  const newHarness = useNewHarness(id)
  return (
    <Page
      title={projectName(project)}
      text={project.access_role === 'member' ? `Shared with you by ${project.owner_username}` : 'You own this project'}
      actions={
        <Group gap="xs">
          <Button variant="default" leftSection={<FolderTree size={14} />} renderRoot={(p) => <Link to="/p/$project/files/$" params={{ project: id, _splat: '' }} {...p} />}>
            Files
          </Button>
          <Button variant="default" leftSection={<Settings size={14} />} renderRoot={(p) => <Link to="/p/$project/settings" params={{ project: id }} {...p} />}>
            Settings
          </Button>
          <Button leftSection={<Plus size={14} />} onClick={newHarness}>
            New harness
          </Button>
        </Group>
      }
    >
      <SiteNotices />
      <Panel title="Harnesses" flush>
        <Loaded query={harnesses}>
          {(list) =>
            list.length === 0 ? (
              <EmptyState
                icon={Bot}
                title="No harness yet"
                text="A harness is an agent with a model, running in a sandbox of its own on this project's files."
              >
                <Button onClick={newHarness}>Create a harness</Button>
              </EmptyState>
            ) : (
              <ul className={css.rows}>
                {list.map((harness) => (
                  <HarnessItem key={harness.harness_id} harness={harness} />
                ))}
              </ul>
            )
          }
        </Loaded>
      </Panel>
    </Page>
  )
}

function HarnessItem({ harness }: { harness: Harness }) {
  const newSession = useNewSession()
  const { data: sessions } = useQuery(queries.sessions(harness.harness_id))
  const count = sessions?.length
  const dot = dotOf(harness)
  const why = dot === 'failed' ? failureOf(harness.failure).sentence : whyOf(harness)
  return (
    <li>
      <Link
        className={css.rowLink}
        to="/p/$project/h/$harness"
        params={{ project: harness.project_id, harness: harness.harness_id }}
      >
        <span className={css.rowMain}>
          <span className={css.rowLine}>
            <StatusDot state={dot} of="sandbox" />
            <span className={css.rowTitle}>{harnessName(harness)}</span>
            <Badge variant="default" size="xs" visibleFrom="xs">
              {harness.type}
            </Badge>
            <span className={css.dim}>{stateWord(dot)}</span>
          </span>
          {why && (
            <span className={css.rowWhy} title={why}>
              {why}
            </span>
          )}
        </span>
      </Link>
      {count !== undefined && <span className={`${css.dim} ${css.wideOnly}`}>{count === 1 ? '1 session' : `${count} sessions`}</span>}
      <Button
        variant="default"
        size="compact-xs"
        aria-label={`New session in ${harnessName(harness)}`}
        onClick={() => void newSession(harness.project_id, harness.harness_id)}
      >
        New session
      </Button>
    </li>
  )
}
