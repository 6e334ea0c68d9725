/** A query's faces in one place: loading, not ready yet, failed with a way to try again, there. */
import { Button, Loader, Skeleton, Stack } from '@mantine/core'
import type { UseQueryResult } from '@tanstack/react-query'
import { CircleAlert, Hourglass, SearchX } from 'lucide-react'
import type { ReactNode } from 'react'
import { ApiError } from '../api/client'
import { isStarting, progressOf } from '../api/patience'
import { EmptyState } from './EmptyState'
import css from './ui.module.css'

interface Props<T> {
  query: UseQueryResult<T>
  children: (data: T) => ReactNode
  lines?: number
}

export function Loaded<T>({ query, children, lines = 3 }: Props<T>) {
  if (query.data !== undefined) return children(query.data)
  if (query.isError) return <Failed error={query.error} retry={() => void query.refetch()} />
  if (isStarting(query.failureReason)) return <Starting message={progressOf(query.failureReason)} />
  return (
    <Stack gap={10} p={14} role="status" aria-label="Loading">
      {Array.from({ length: lines }, (_, i) => (
        <Skeleton key={i} h={14} w={`${90 - i * 14}%`} />
      ))}
    </Stack>
  )
}

/** It is asked for again by itself meanwhile. */
function Starting({ message }: { message: string }) {
  return (
    <div className={css.progress} role="status" data-testid="starting">
      <Loader size="sm" aria-hidden />
      <p>{message}</p>
    </div>
  )
}

export function Failed({ error, retry }: { error: Error; retry: () => void }) {
  const gone = error instanceof ApiError && error.status === 404
  const late = isStarting(error)
  const title = gone ? 'Not found' : late ? 'Not ready yet' : 'Could not load this'
  return (
    <EmptyState icon={gone ? SearchX : late ? Hourglass : CircleAlert} title={title} text={error.message}>
      {!gone && (
        <Button variant="default" onClick={retry}>
          {late ? 'Retry' : 'Try again'}
        </Button>
      )}
    </EmptyState>
  )
}
