/** One harness: its sandbox and how it starts, its sessions, its settings. */
import { Badge, Button, Group, Menu, VisuallyHidden } from '@mantine/core'
import { useDocumentTitle } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useNavigate, useParams } from '@tanstack/react-router'
import { Ellipsis, Pencil, Play, Plus, Trash2 } from 'lucide-react'
import { queries } from '../api/queries'
import type { Harness } from '../api/types'
import { harnessName } from '../shell/names'
import { IconAction } from '../ui/IconAction'
import { Loaded } from '../ui/Loaded'
import { Page, Panel } from '../ui/Page'
import { StatusDot, stateWord } from '../ui/StatusDot'
import { span } from '../ui/time'
import { HarnessFacts } from './HarnessFacts'
import { askHarnessName, confirmHarnessDeletion, startHarness } from './harnesses'
import { announcementOf, dotOf } from './sandbox'
import { SandboxEvents } from './SandboxEvents'
import { SandboxFailure } from './SandboxFailure'
import { SandboxLog } from './SandboxLog'
import { Rest } from './Rest'
import { HealingNotice, Recoveries, StopButton, SuspendedNotice, WaitingNotice } from './SandboxNotices'
import { SandboxSteps } from './SandboxSteps'
import { SessionList } from './SessionList'
import { useNewSession } from './sessions'
import { wholeStart } from './steps'
import { Timeline } from './Timeline'
import css from './harness.module.css'

export function HarnessPage() {
  const { harness: id } = useParams({ from: '/app/p/$project/h/$harness' })
  const harness = useQuery(queries.harness(id))
  useDocumentTitle(`${harness.data ? harnessName(harness.data) : 'Harness'} · Cattery`)
  return <Loaded query={harness}>{(data) => <Content harness={data} />}</Loaded>
}

function Content({ harness }: { harness: Harness }) {
  const dot = dotOf(harness)
  return (
    <Page
      title={harnessName(harness)}
      text={
        <Group gap={8} mt={4}>
          <span className={css.state} data-testid="sandbox-state">
            <StatusDot state={dot} of="sandbox" /> Sandbox {stateWord(dot)}
          </span>
          <Badge variant="default" size="sm">
            {harness.type}
          </Badge>
          <Badge variant="default" size="sm">
            {harness.model}
          </Badge>
        </Group>
      }
      actions={<Actions harness={harness} />}
    >
      <VisuallyHidden role="status" aria-live="polite" data-testid="sandbox-announcer">
        {announcementOf(harness)}
      </VisuallyHidden>
      <div className={css.notices}>
        {dot === 'waiting' && <WaitingNotice harness={harness} />}
        <SuspendedNotice harness={harness} />
        <HealingNotice harness={harness} />
        {dot === 'failed' && <SandboxFailure harness={harness} />}
      </div>
      <div className={css.grid}>
        <div className={css.column}>
          <SessionList harness={harness} />
          {harness.steps.length > 0 && <SandboxLog harnessId={harness.harness_id} />}
        </div>
        <div className={css.column}>
          <div className={css.sandbox} data-first={dot !== 'ready' || undefined}>
            <SandboxPanel harness={harness} />
          </div>
          <HarnessFacts harness={harness} />
          <Timeline harnessId={harness.harness_id} />
        </div>
      </div>
    </Page>
  )
}

function SandboxPanel({ harness }: { harness: Harness }) {
  const whole = wholeStart(harness)
  const failed = harness.sandbox_status === 'failed'
  return (
    <Panel title="Sandbox" actions={whole && <span className={css.whole}>answered after {span(whole.from, whole.to)}</span>}>
      <SandboxSteps harness={harness} />
      <Recoveries harness={harness} />
      <Rest harness={harness} />
      {/* A failed one's stand with the failure. */}
      {!failed && harness.runtime_events.length > 0 && (
        <div className={css.said}>
          <SandboxEvents events={harness.runtime_events} open={harness.waiting !== null && harness.sandbox_status === 'starting'} />
        </div>
      )}
    </Panel>
  )
}

function Actions({ harness }: { harness: Harness }) {
  const navigate = useNavigate()
  const newSession = useNewSession()
  const { sandbox_status: status, project_id: project } = harness
  const owner = harness.access_role === 'owner'
  return (
    <Group gap="xs">
      {status === 'idle' && (
        <Button variant="default" leftSection={<Play size={14} />} onClick={() => void startHarness(harness)}>
          Start
        </Button>
      )}
      {owner && harness.waiting === null && (status === 'ready' || status === 'starting') && <StopButton harness={harness} />}
      <Button leftSection={<Plus size={14} />} onClick={() => void newSession(project, harness.harness_id)}>
        New session
      </Button>
      {owner && (
        <Menu position="bottom-end" width={180}>
          <Menu.Target>
            <IconAction label="More" icon={Ellipsis} size={30} variant="default" />
          </Menu.Target>
          <Menu.Dropdown>
            <Menu.Item leftSection={<Pencil size={14} />} onClick={() => askHarnessName(harness)}>
              Rename…
            </Menu.Item>
            <Menu.Item
              leftSection={<Trash2 size={14} />}
              c="var(--app-bad)"
              onClick={() =>
                confirmHarnessDeletion(harness, () => void navigate({ to: '/p/$project', params: { project } }))
              }
            >
              Delete…
            </Menu.Item>
          </Menu.Dropdown>
        </Menu>
      )}
    </Group>
  )
}
