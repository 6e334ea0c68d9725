/** The text of a toast with its way back. */
import { Button, Group } from '@mantine/core'

export function UndoLine({ message, undo }: { message: string; undo: () => void }) {
  return (
    <Group justify="space-between" gap="xs" wrap="nowrap">
      <span>{message}</span>
      <Button size="compact-sm" variant="light" onClick={undo}>
        Undo
      </Button>
    </Group>
  )
}
