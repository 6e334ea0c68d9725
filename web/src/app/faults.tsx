/** Pages for what should not happen: an unknown address, a crash. */
import { Button, Code, Group } from '@mantine/core'
import { Link, type ErrorComponentProps } from '@tanstack/react-router'
import { CircleAlert, SearchX } from 'lucide-react'
import { EmptyState } from '../ui/EmptyState'

export function NotFoundPage() {
  return (
    <EmptyState icon={SearchX} title="There is nothing here" text="The address is wrong, or what it named was deleted.">
      <Button component={Link} to="/">
        Go home
      </Button>
    </EmptyState>
  )
}

export function CrashPage({ error, reset }: ErrorComponentProps) {
  return (
    <EmptyState icon={CircleAlert} title="This page failed" text={(error instanceof Error && error.message) || 'Something went wrong in the browser.'}>
      <Group justify="center">
        <Button onClick={reset}>Try again</Button>
        <Button variant="default" onClick={() => location.reload()}>
          Reload
        </Button>
      </Group>
      {import.meta.env.DEV && <Code block>{error instanceof Error ? error.stack : String(error)}</Code>}
    </EmptyState>
  )
}
