/** What this site runs on: version, model, isolation, harness types, the way to Temporal's own UI. */
import { Anchor, Stack } from '@mantine/core'
import { useDocumentTitle } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { Ban, CircleCheck, ShieldOff } from 'lucide-react'
import { queries } from '../api/queries'
import type { Savings } from '../api/types'
import { Loaded } from '../ui/Loaded'
import { Notice } from '../ui/Notice'
import { Panel } from '../ui/Page'
import { lasting } from '../ui/time'
import { AdminPage } from './AdminPage'
import css from './admin.module.css'
import ui from '../ui/ui.module.css'

export function System() {
  const site = useQuery(queries.site())
  const { data: savings } = useQuery(queries.savings())
  useDocumentTitle('System · Cattery')
  return (
    <AdminPage>
      <Loaded query={site}>
        {(data) => (
          <Stack gap="md">
            {!data.isolation.confined && (
              <Notice kind="warn" icon={ShieldOff} title="Sandboxes are not confined">
                {data.isolation.summary}
              </Notice>
            )}
            <Panel title="This site">
              <dl className={ui.facts}>
                <dt>Version</dt>
                <dd>{data.version}</dd>
                <dt>Model</dt>
                <dd>{data.demo_model ? `demo model. ${data.demo_hint ?? ''}` : 'configured'}</dd>
                <dt>Sandboxes</dt>
                <dd>
                  {data.isolation.confined ? `confined. ${data.isolation.summary}` : 'not confined, see above'}
                </dd>
                <dt>Workflows</dt>
                <dd>
                  {data.temporal_ui_url ? (
                    <Anchor fz="sm" href={data.temporal_ui_url} target="_blank" rel="noreferrer" underline="always">
                      Temporal UI
                    </Anchor>
                  ) : (
                    'no address of the Temporal UI is set'
                  )}
                </dd>
                <dt>Harnesses</dt>
                <dd>
                  <ul className={css.types}>
                    {data.harness_types.map((type) => (
                      <li key={type.id}>
                        {type.available ? (
                          <CircleCheck size={15} className={css.ok} role="img" aria-label="available" />
                        ) : (
                          <Ban size={15} className={css.dim} role="img" aria-label="not available" />
                        )}
                        <span>
                          {type.display_name} {type.version}{' '}
                          {!type.available && <span className={css.dim}>{type.reason}</span>}
                        </span>
                      </li>
                    ))}
                  </ul>
                </dd>
              </dl>
            </Panel>
            {savings && <IdleSandboxes savings={savings} />}
          </Stack>
        )}
      </Loaded>
    </AdminPage>
  )
}

function IdleSandboxes({ savings }: { savings: Savings }) {
  const { idle_timeout_seconds: timeout, sleeping, slept_seconds: slept } = savings
  return (
    <Panel title="Idle sandboxes">
      <dl className={ui.facts}>
        <dt>Suspended after</dt>
        <dd>{timeout > 0 ? `${lasting(timeout)} without use, unless a harness says otherwise` : 'never, unless a harness says otherwise'}</dd>
        <dt>Suspended now</dt>
        <dd>{sleeping}</dd>
        <dt>Saved so far</dt>
        <dd data-testid="saved">{slept > 0 ? `${lasting(slept)} of running sandboxes` : 'nothing yet'}</dd>
      </dl>
    </Panel>
  )
}
