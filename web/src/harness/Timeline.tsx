/** What happened to a harness and who did it, the newest first. */
import { Button } from '@mantine/core'
import { useInfiniteQuery } from '@tanstack/react-query'
import {
  CircleAlert,
  CircleCheck,
  Coffee,
  HeartPulse,
  Moon,
  Pencil,
  Play,
  Plus,
  Square,
  Sunrise,
  Timer,
  Trash2,
  Undo2,
  Info,
  type LucideIcon,
} from 'lucide-react'
import { queries } from '../api/queries'
import type { TimelineEntry } from '../api/types'
import { TimeAgo } from '../ui/Ago'
import { Loaded } from '../ui/Loaded'
import { Panel } from '../ui/Page'
import css from './harness.module.css'

const KINDS: Record<string, [words: string, icon: LucideIcon]> = {
  created: ['Created', Plus],
  renamed: ['Renamed', Pencil],
  idle_timeout_changed: ['Suspension changed', Timer],
  start_asked: ['Start asked for', Play],
  stop_asked: ['Stop asked for', Square],
  kept_awake: ['Kept awake', Coffee],
  let_sleep: ['Let sleep again', Moon],
  woken: ['Woken', Sunrise],
  started: ['Started', CircleCheck],
  suspended: ['Suspended', Moon],
  stopped: ['Stopped', Square],
  recovered: ['Lost, and started again', HeartPulse],
  failed: ['Failed', CircleAlert],
  deletion_asked: ['Deletion asked for', Trash2],
  deletion_undone: ['Deletion undone', Undo2],
}

export function Timeline({ harnessId }: { harnessId: string }) {
  const timeline = useInfiniteQuery(queries.timeline(harnessId))
  return (
    <Panel title="Timeline">
      <Loaded query={timeline}>
        {({ pages }) => (
          <>
            <Entries entries={pages.flatMap((page) => page.entries)} />
            {timeline.hasNextPage && (
              <Button
                variant="default"
                size="compact-sm"
                mt={10}
                loading={timeline.isFetchingNextPage}
                onClick={() => void timeline.fetchNextPage()}
              >
                Show earlier
              </Button>
            )}
          </>
        )}
      </Loaded>
    </Panel>
  )
}

export function Entries({ entries }: { entries: TimelineEntry[] }) {
  if (entries.length === 0) return <p className={css.nothing}>Nothing has happened yet.</p>
  return (
    <ol className={css.timeline} aria-label="What happened, the newest first">
      {entries.map((entry) => (
        <Entry key={entry.entry_id} entry={entry} />
      ))}
    </ol>
  )
}

function Entry({ entry: { at, kind, by, detail } }: { entry: TimelineEntry }) {
  const [words, Icon] = KINDS[kind] ?? [kind.replaceAll('_', ' '), Info]
  return (
    <li data-kind={kind}>
      <Icon size={14} aria-hidden />
      <span className={css.eventReason}>
        {words}
        {by && <span className={css.by}> by {by}</span>}
      </span>
      <TimeAgo at={at} className={css.eventTime} />
      {detail && <span className={css.eventText}>{detail}</span>}
    </li>
  )
}
