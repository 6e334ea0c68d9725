/** A query's three faces in one place: loading, failed with a way to try again, there. */
import { Button, Skeleton, Stack } from '@mantine/core'
import type { UseQueryResult } from '@tanstack/react-query'
import { CircleAlert, SearchX } from 'lucide-react'
import type { ReactNode } from 'react'
import { ApiError } from '../api/client'
import { EmptyState } from './EmptyState'

interface Props<T> {
  query: UseQueryResult<T>
  children: (data: T) => ReactNode
  lines?: number
}

export function Loaded<T>({ query, children, lines = 3 }: Props<T>) {
  if (query.data !== undefined) return children(query.data)
  if (query.isError) return <Failed error={query.error} retry={() => void query.refetch()} />
  return (
    <Stack gap={10} p={14} role="status" aria-label="Loading">
      {Array.from({ length: lines }, (_, i) => (
        <Skeleton key={i} h={14} w={`${90 - i * 14}%`} />
      ))}
    </Stack>
  )
}

export function Failed({ error, retry }: { error: Error; retry: () => void }) {
  const gone = error instanceof ApiError && error.status === 404
  return (
    <EmptyState icon={gone ? SearchX : CircleAlert} title={gone ? 'Not found' : 'Could not load this'} text={error.message}>
      {!gone && (
        <Button variant="default" onClick={retry}>
          Try again
        </Button>
      )}
    </EmptyState>
  )
}
