/** What is being deleted: whose wish, when it goes, the way back, and what holds one up. */
import { Badge, Button, Group, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { OctagonAlert, Trash2 } from 'lucide-react'
import { queries } from '../api/queries'
import type { Deletion } from '../api/types'
import { Notice } from '../ui/Notice'
import { Panel } from '../ui/Page'
import { moment } from '../ui/time'
import { useNow } from '../ui/useNow'
import { force, hurry, isOpen, retry, standing, undo } from './deletions'
import css from './deletions.module.css'

const TICK_MS = 10_000

/** Nothing at all where nothing is being deleted. */
export function BeingDeleted() {
  const { data } = useQuery(queries.deletions())
  const open = data?.filter(isOpen) ?? []
  return open.length === 0 ? null : <DeletionList title="Being deleted" deletions={open} />
}

export function DeletionList({ title, deletions }: { title: string; deletions: Deletion[] }) {
  const now = useNow(TICK_MS)
  return (
    <Panel title={title} flush>
      <ul className={css.list}>
        {deletions.map((deletion) => (
          <Row key={deletion.deletion_id} deletion={deletion} now={now} />
        ))}
      </ul>
    </Panel>
  )
}

function Row({ deletion, now }: { deletion: Deletion; now: number }) {
  return (
    <li className={css.row} aria-label={`${deletion.kind} ${deletion.name}`}>
      <div className={css.head}>
        <Trash2 size={15} aria-hidden className={css.icon} />
        <div className={css.what}>
          <span className={css.name}>{deletion.name}</span>{' '}
          <Badge variant="default" size="xs">
            {deletion.kind}
          </Badge>
          <Text fz="xs" c="dimmed" component="div">
            {standing(deletion, now)}
            {deletion.phase === 'grace' && <> ({moment(deletion.due_at)})</>}
            {deletion.ended_by && <> by {deletion.ended_by}</>}, asked for by {deletion.requested_by}
            {deletion.heir && <>; {deletion.heir} gets the projects</>}
          </Text>
        </div>
        <Actions deletion={deletion} />
      </div>
      {deletion.forced.map(({ step, reason, by, at }) => (
        <Text key={step + at} fz="xs" className={css.forced}>
          {by} had a step skipped, “{step}”: {reason} ({moment(at)})
        </Text>
      ))}
      {deletion.stuck.map((hitch) => (
        <Notice key={hitch.step + hitch.since} kind="bad" icon={OctagonAlert} title={`Stuck: ${hitch.step}`} role="status">
          {hitch.reason} Since {moment(hitch.since)}, {hitch.attempts} tries. It is tried again by itself at{' '}
          {moment(hitch.next_try_at)}.
        </Notice>
      ))}
    </li>
  )
}

function Actions({ deletion }: { deletion: Deletion }) {
  const { name } = deletion
  return (
    <Group gap={6} wrap="nowrap">
      {deletion.may_undo && (
        <Button size="xs" variant="default" aria-label={`Undo the deletion of ${name}`} onClick={() => void undo(deletion)}>
          Undo
        </Button>
      )}
      {deletion.may_hurry && (
        <Button size="xs" variant="subtle" color="gray" aria-label={`Delete ${name} now`} onClick={() => void hurry(deletion)}>
          Delete now
        </Button>
      )}
      {deletion.may_retry && (
        <Button size="xs" variant="default" aria-label={`Try the deletion of ${name} again now`} onClick={() => void retry(deletion)}>
          Retry now
        </Button>
      )}
      {deletion.may_force && (
        <Button size="xs" variant="subtle" color="gray" aria-label={`Skip what holds up ${name}`} onClick={() => force(deletion)}>
          Skip step…
        </Button>
      )}
    </Group>
  )
}
