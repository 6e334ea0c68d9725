/** Beside the conversation: the agent's plan, what it used, its sandbox. */
import { Progress, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useContext, useSyncExternalStore } from 'react'
import { queries } from '../api/queries'
import type { Session } from '../api/types'
import { dotOf, failureOf, healedFrom, restReason } from '../harness/sandbox'
import { SandboxSteps } from '../harness/SandboxSteps'
import { harnessName } from '../shell/names'
import { StatusDot, stateWord } from '../ui/StatusDot'
import { SessionContext } from './SessionContext'
import { TodoList } from './TodoList'
import css from './chat.module.css'

export function Details({ session, project }: { session: Session; project: string }) {
  return (
    <>
      <Plan />
      <Usage />
      <Sandbox session={session} project={project} />
    </>
  )
}

function Plan() {
  const { transcript } = useContext(SessionContext)
  const todos = useSyncExternalStore(transcript.subscribe, () => transcript.getMeta().todos)
  const done = todos.filter(({ status }) => status === 'completed').length
  return (
    <section aria-label="Plan">
      <h2>
        Plan{todos.length > 0 && ` · ${done} of ${todos.length}`}
      </h2>
      {todos.length > 0 ? (
        <>
          <Progress value={(100 * done) / todos.length} size="sm" mb={8} aria-label="Plan progress" />
          <TodoList todos={todos} />
        </>
      ) : (
        <Text fz="xs" c="dimmed">
          The agent has no plan written down.
        </Text>
      )}
    </section>
  )
}

const number = (n: number) => n.toLocaleString('en')

function Usage() {
  const { transcript } = useContext(SessionContext)
  const usage = useSyncExternalStore(transcript.subscribe, () => transcript.getMeta().usage)
  return (
    <section aria-label="Usage">
      <h2>Usage</h2>
      <dl className={css.pairs}>
        <dt>Tokens in</dt>
        <dd>{usage ? number(usage.inputTokens) : '–'}</dd>
        <dt>Tokens out</dt>
        <dd>{usage ? number(usage.outputTokens) : '–'}</dd>
        <dt>Cost</dt>
        <dd>{usage?.cost == null ? '–' : `$${usage.cost.toFixed(usage.cost < 0.1 ? 4 : 2)}`}</dd>
      </dl>
    </section>
  )
}

function Sandbox({ session, project }: { session: Session; project: string }) {
  const { data: harness } = useQuery(queries.harness(session.harness_id))
  if (!harness) return null
  const dot = dotOf(harness)
  return (
    <>
      <section aria-label="Sandbox">
        <h2>Sandbox</h2>
        <p className={css.sandboxState}>
          <StatusDot state={dot} /> {stateWord(dot)}
        </p>
        {dot === 'failed' && <p className={css.failure}>{failureOf(harness.failure).sentence}</p>}
        {dot === 'waiting' && <p className={css.why}>{harness.waiting}</p>}
        {dot === 'suspended' && <p className={css.why}>{restReason(harness)} A prompt wakes it up.</p>}
        {dot === 'healing' && <p className={css.why}>{healedFrom(harness)?.reason}</p>}
        {dot !== 'suspended' && <SandboxSteps harness={harness} />}
      </section>
      <section aria-label="Harness">
        <h2>Harness</h2>
        <dl className={css.pairs}>
          <dt>Name</dt>
          <dd>
            <Link className={css.link} to="/p/$project/h/$harness" params={{ project, harness: harness.harness_id }}>
              {harnessName(harness)}
            </Link>
          </dd>
          <dt>Type</dt>
          <dd>{harness.type}</dd>
          <dt>Model</dt>
          <dd className={css.mono}>{harness.model}</dd>
        </dl>
      </section>
    </>
  )
}
