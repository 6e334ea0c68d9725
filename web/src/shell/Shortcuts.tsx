/** The list of shortcuts, which `?` opens. */
import { Group, Kbd, Stack } from '@mantine/core'
import { modals } from '@mantine/modals'

const MOD = /Mac|iPhone|iPad/.test(navigator.userAgent) ? '⌘' : 'Ctrl'

export const SHORTCUTS: { keys: string[]; does: string }[] = [
  { keys: [MOD, 'K'], does: 'Search sessions, pages and commands' },
  { keys: ['Enter'], does: 'Send the prompt, or queue it while the agent works' },
  { keys: ['Shift', 'Enter'], does: 'New line in the prompt' },
  { keys: ['Esc'], does: 'Stop the agent' },
  { keys: [MOD, 'B'], does: 'Show or hide the details of a session' },
  { keys: [MOD, 'Shift', 'L'], does: 'Switch between light and dark' },
  { keys: ['F2'], does: 'Rename the row in the tree' },
  { keys: ['Del'], does: 'Delete the row in the tree' },
  { keys: ['?'], does: 'This list' },
]

export function ShortcutList() {
  return (
    <Stack gap={10}>
      {SHORTCUTS.map(({ keys, does }) => (
        <Group key={does} justify="space-between" wrap="nowrap" fz="sm">
          <span>{does}</span>
          <Group gap={4} wrap="nowrap">
            {keys.map((key) => (
              <Kbd key={key} size="xs">
                {key}
              </Kbd>
            ))}
          </Group>
        </Group>
      ))}
    </Stack>
  )
}

export function showShortcuts() {
  modals.open({ title: 'Keyboard shortcuts', children: <ShortcutList /> })
}
