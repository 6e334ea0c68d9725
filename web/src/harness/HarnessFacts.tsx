/** What a harness is made of; the values of its environment are never shown. */
import type { Harness } from '../api/types'
import { Panel } from '../ui/Page'
import { moment } from '../ui/time'
import css from '../ui/ui.module.css'

export function HarnessFacts({ harness }: { harness: Harness }) {
  const env = Object.keys(harness.env_vars)
  const facts: [string, string][] = [
    ['Model', harness.model],
    ['Type', harness.type],
    ['Transport', harness.transport_kind === 'http' ? 'chat' : 'terminal'],
    ['Owner', harness.owner_username],
    ['Created', moment(harness.created_at)],
    ['Starts', String(harness.generation)],
    ['Id', harness.harness_id],
  ]
  return (
    <Panel title="Details">
      <dl className={css.facts}>
        {facts.map(([name, value]) => (
          <Fact key={name} name={name} value={value} />
        ))}
        <dt>Environment</dt>
        <dd>
          {env.length === 0 && 'none'}
          {env.map((key) => (
            <div key={key} className={css.mono}>
              {key}=<span aria-label="hidden">••••••</span>
            </div>
          ))}
        </dd>
      </dl>
    </Panel>
  )
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <>
      <dt>{name}</dt>
      <dd className={name === 'Id' || name === 'Model' ? css.mono : undefined}>{value}</dd>
    </>
  )
}
