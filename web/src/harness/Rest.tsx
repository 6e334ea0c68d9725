/** When a sandbox is suspended for want of use, what keeps it awake, and the way to change both. */
import { Button, Menu } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { ChevronDown, Coffee, Moon } from 'lucide-react'
import { keepAwake, letSleep, setIdleTimeout } from '../api/calls'
import { queries } from '../api/queries'
import type { Harness } from '../api/types'
import { attempt } from '../ui/toast'
import { lasting, moment } from '../ui/time'
import { refreshHarness } from './harnesses'
import css from './harness.module.css'

const HOUR = 3_600
const TIMEOUTS = [15 * 60, 30 * 60, HOUR, 4 * HOUR, 24 * HOUR, 0]
const AWAKE_MINUTES = [60, 4 * 60, 24 * 60]

export function Rest({ harness }: { harness: Harness }) {
  const { data: site } = useQuery(queries.site())
  const { awake_until: until, idle_timeout_seconds: own } = harness
  const timeout = own ?? site?.idle_timeout_seconds
  if (timeout === undefined) return null
  return (
    <div className={css.rest}>
      {until ? <Coffee size={15} aria-hidden /> : <Moon size={15} aria-hidden />}
      <div>
        {until ? (
          <>
            Kept awake until <time dateTime={until}>{moment(until)}</time>.
          </>
        ) : timeout > 0 ? (
          `Suspended after ${lasting(timeout)} without use.`
        ) : (
          'Never suspended.'
        )}
        <div className={css.restActions}>
          <Awake harness={harness} needed={timeout > 0} />
          {harness.access_role === 'owner' && <Timeout harness={harness} siteTimeout={site?.idle_timeout_seconds ?? 0} />}
        </div>
      </div>
    </div>
  )
}

function Awake({ harness, needed }: { harness: Harness; needed: boolean }) {
  const change = (work: () => Promise<unknown>) =>
    void attempt(async () => {
      await work()
      await refreshHarness(harness)
    })
  if (harness.awake_until) {
    return (
      <Button variant="default" size="compact-xs" onClick={() => change(() => letSleep(harness.harness_id))}>
        Let it sleep
      </Button>
    )
  }
  if (!needed) return null
  return (
    <Menu position="bottom-start">
      <Menu.Target>
        <Button variant="default" size="compact-xs" rightSection={<ChevronDown size={12} aria-hidden />}>
          Keep awake
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        {AWAKE_MINUTES.map((minutes) => (
          <Menu.Item key={minutes} onClick={() => change(() => keepAwake(harness.harness_id, minutes))}>
            For {lasting(minutes * 60)}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  )
}

function Timeout({ harness, siteTimeout }: { harness: Harness; siteTimeout: number }) {
  const choose = (seconds: number | null) =>
    void attempt(async () => {
      await setIdleTimeout(harness.harness_id, seconds)
      await refreshHarness(harness)
    }, 'Could not change when it is suspended')
  const words = (seconds: number) => (seconds > 0 ? `After ${lasting(seconds)}` : 'Never')
  const own = harness.idle_timeout_seconds
  return (
    <Menu position="bottom-start">
      <Menu.Target>
        <Button variant="default" size="compact-xs" rightSection={<ChevronDown size={12} aria-hidden />}>
          Suspend…
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.RadioGroup value={String(own)} onChange={(value) => choose(value === 'null' ? null : Number(value))}>
          <Menu.RadioItem value="null" closeMenuOnClick>
            As the site: {words(siteTimeout).toLowerCase()}
          </Menu.RadioItem>
          {TIMEOUTS.map((seconds) => (
            <Menu.RadioItem key={seconds} value={String(seconds)} closeMenuOnClick>
              {words(seconds)}
            </Menu.RadioItem>
          ))}
        </Menu.RadioGroup>
      </Menu.Dropdown>
    </Menu>
  )
}
