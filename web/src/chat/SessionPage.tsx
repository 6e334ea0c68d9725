/** One session: the conversation, the composer below it, the details beside it. */
import { Loader, VisuallyHidden } from '@mantine/core'
import { useDocumentTitle } from '@mantine/hooks'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useParams } from '@tanstack/react-router'
import { lazy, Suspense, useEffect, useMemo, useState, useSyncExternalStore } from 'react'
import { queries } from '../api/queries'
import type { Session } from '../api/types'
import { sessionTitle } from '../shell/names'
import { Failed, Loaded } from '../ui/Loaded'
import { Announcer } from './Announcer'
import { Composer } from './Composer'
import { DetailsPanel, useDetails } from './DetailsPanel'
import { FirstPrompt } from './FirstPrompt'
import { Queue } from './Queue'
import { followSession, transcriptOf } from './registry'
import { SessionContext } from './SessionContext'
import { SessionHeader } from './SessionHeader'
import { SessionState } from './SessionState'
import type { Meta, Transcript as Store } from './store'
import { Transcript } from './Transcript'
import css from './chat.module.css'

const TerminalPage = lazy(async () => ({ default: (await import('../terminal/TerminalPage')).TerminalPage }))

export function SessionPage() {
  const { session: id, project } = useParams({ from: '/app/p/$project/s/$session' })
  const session = useQuery(queries.session(id))
  return <Loaded query={session}>{(data) => <Kind key={id} session={data} project={project} />}</Loaded>
}

/** A chat or a terminal, after the session's harness. */
function Kind({ session, project }: { session: Session; project: string }) {
  const harness = useQuery(queries.harness(session.harness_id))
  return (
    <Loaded query={harness}>
      {({ transport_kind: kind }) =>
        kind === 'terminal' ? (
          <Suspense fallback={<Loader m="auto" size="sm" aria-label="Loading the terminal" />}>
            <TerminalPage session={session} />
          </Suspense>
        ) : (
          <Chat session={session} project={project} />
        )
      }
    </Loaded>
  )
}

function Chat({ session, project }: { session: Session; project: string }) {
  const sessionId = session.session_id
  const transcript = useMemo(() => transcriptOf(sessionId), [sessionId])
  const context = useMemo(() => ({ sessionId, transcript }), [sessionId, transcript])
  const refused = useFollowing(sessionId)
  const meta = useSyncExternalStore(transcript.subscribe, transcript.getMeta)
  const details = useDetails()
  const [seed, setSeed] = useState<string | null>(null)
  useTitles(session, meta)
  const empty = useSyncExternalStore(transcript.subscribe, () => isEmpty(transcript))
  if (refused) return <Failed error={new Error(refused)} retry={() => location.reload()} />
  return (
    <SessionContext value={context}>
      <div className={css.page}>
        <div className={css.pane}>
          <VisuallyHidden>
            <h1>{meta.title ?? sessionTitle(session)}</h1>
          </VisuallyHidden>
          <SessionHeader session={session} project={project} details={details} />
          {!meta.live && empty && (
            <div className={css.loading}>
              <Loader size="sm" aria-label="Loading the conversation" />
            </div>
          )}
          {meta.live && empty && <FirstPrompt session={session} pick={setSeed} />}
          {!empty && <Transcript />}
          <Composer disabled={session.status === 'failed' ? 'This session failed; start a new one' : null} seed={seed}>
            <SessionState session={session} project={project} />
            <Queue />
          </Composer>
          <Announcer />
        </div>
        <DetailsPanel session={session} project={project} details={details} />
      </div>
    </SessionContext>
  )
}

function isEmpty(transcript: Store): boolean {
  const { pending, working } = transcript.getMeta()
  return transcript.getOrder().length === 0 && pending.length === 0 && !working
}

/** Follow the log while the page is open; the answer is the server's reason when it refuses. */
function useFollowing(sessionId: string): string | null {
  const [refused, setRefused] = useState<string | null>(null)
  useEffect(() => {
    return followSession(sessionId, (_, message) => setRefused(message))
  }, [sessionId])
  return refused
}

/** The window's title names the session and says when it wants something. */
function useTitles(session: Session, meta: Meta) {
  const client = useQueryClient()
  const title = meta.title ?? sessionTitle(session)
  const mark = meta.openQuestions.length > 0 ? '(!) ' : meta.working ? '… ' : ''
  useDocumentTitle(`${mark}${title} · Cattery`)
  // A title in the log is newer than the row that was read; the tree shows the row.
  useEffect(() => {
    if (!meta.live || meta.title === null) return
    void client.invalidateQueries({ queryKey: ['session', session.session_id] })
    void client.invalidateQueries({ queryKey: ['sessions', session.harness_id] })
  }, [client, meta.live, meta.title, session.session_id, session.harness_id])
}
