/** One harness: its sandbox and how it starts, its sessions, its settings. */
import { Badge, Button, Group, Menu } from '@mantine/core'
import { useDocumentTitle } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useNavigate, useParams } from '@tanstack/react-router'
import { CircleAlert, Ellipsis, Pencil, Play, Plus, RotateCw, Square, Trash2 } from 'lucide-react'
import { queries } from '../api/queries'
import type { Harness } from '../api/types'
import { harnessName } from '../shell/names'
import { IconAction } from '../ui/IconAction'
import { Loaded } from '../ui/Loaded'
import { Notice } from '../ui/Notice'
import { Page, Panel } from '../ui/Page'
import { StatusDot, stateWord } from '../ui/StatusDot'
import { HarnessFacts } from './HarnessFacts'
import { askHarnessName, confirmHarnessDeletion, startHarness, stopHarness } from './harnesses'
import { SandboxLog } from './SandboxLog'
import { SandboxSteps } from './SandboxSteps'
import { SessionList } from './SessionList'
import { useNewSession } from './sessions'
import css from './harness.module.css'

export function HarnessPage() {
  const { harness: id } = useParams({ from: '/app/p/$project/h/$harness' })
  const harness = useQuery(queries.harness(id))
  useDocumentTitle(`${harness.data ? harnessName(harness.data) : 'Harness'} · Cattery`)
  return <Loaded query={harness}>{(data) => <Content harness={data} />}</Loaded>
}

function Content({ harness }: { harness: Harness }) {
  const { sandbox_status: status } = harness
  return (
    <Page
      title={harnessName(harness)}
      text={
        <Group gap={8} mt={4}>
          <span className={css.state} data-testid="sandbox-state">
            <StatusDot state={status} of="sandbox" /> Sandbox {stateWord(status)}
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
      {status === 'failed' && (
        <div className={css.failure}>
          <Notice kind="bad" icon={CircleAlert} title="The sandbox failed" role="status">
            {harness.failure || 'It gave no reason. The log below may say more.'}
          </Notice>
        </div>
      )}
      <div className={css.grid}>
        <div className={css.column}>
          <SessionList harness={harness} />
          {harness.steps.length > 0 && <SandboxLog harnessId={harness.harness_id} />}
        </div>
        <div className={css.column}>
          <Panel title="Sandbox">
            <SandboxSteps harness={harness} />
          </Panel>
          <HarnessFacts harness={harness} />
        </div>
      </div>
    </Page>
  )
}

function Actions({ harness }: { harness: Harness }) {
  const navigate = useNavigate()
  const newSession = useNewSession()
  const { sandbox_status: status, project_id: project } = harness
  const owner = harness.access_role === 'owner'
  return (
    <Group gap="xs">
      {(status === 'idle' || status === 'failed') && (
        <Button
          variant="default"
          leftSection={status === 'failed' ? <RotateCw size={14} /> : <Play size={14} />}
          onClick={() => void startHarness(harness)}
        >
          {status === 'failed' ? 'Retry' : 'Start'}
        </Button>
      )}
      {owner && (status === 'ready' || status === 'starting') && (
        <Button variant="default" leftSection={<Square size={13} />} onClick={() => void stopHarness(harness)}>
          Stop
        </Button>
      )}
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
