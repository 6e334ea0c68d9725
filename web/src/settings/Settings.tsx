/** A person's own settings: password, look, shortcuts. */
import { Button, Group, PasswordInput, SegmentedControl, Stack, useMantineColorScheme } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useDocumentTitle } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { LogOut } from 'lucide-react'
import { useState } from 'react'
import { changePassword } from '../api/calls'
import { ApiError } from '../api/client'
import { queries } from '../api/queries'
import { leave } from '../shell/Rail'
import { ShortcutList } from '../shell/Shortcuts'
import { Page, Panel } from '../ui/Page'
import { toastDone, toastFailure } from '../ui/toast'

const SHORTEST_PASSWORD = 8

export function Settings() {
  const { data: me } = useQuery(queries.me())
  useDocumentTitle('Settings · Cattery')
  return (
    <Page
      title="Settings"
      text={me && `Signed in as ${me.username}${me.is_admin ? ', an administrator' : ''}`}
      actions={
        <Button variant="default" leftSection={<LogOut size={14} />} onClick={() => void leave()}>
          Sign out
        </Button>
      }
    >
      <Stack gap="md">
        <Panel title="Appearance">
          <Appearance />
        </Panel>
        <Panel title="Password">
          <Password />
        </Panel>
        <Panel title="Keyboard shortcuts">
          <ShortcutList />
        </Panel>
      </Stack>
    </Page>
  )
}

function Appearance() {
  const { colorScheme, setColorScheme } = useMantineColorScheme()
  return (
    <SegmentedControl
      aria-label="Theme"
      value={colorScheme}
      onChange={(value) => setColorScheme(value as 'auto' | 'light' | 'dark')}
      data={[
        { value: 'auto', label: 'System' },
        { value: 'light', label: 'Light' },
        { value: 'dark', label: 'Dark' },
      ]}
    />
  )
}

function Password() {
  const { data: me } = useQuery(queries.me())
  const [busy, setBusy] = useState(false)
  const form = useForm({
    initialValues: { old: '', next: '', again: '' },
    validate: {
      old: (value) => (value ? null : 'Enter your present password'),
      next: (value) => (value.length < SHORTEST_PASSWORD ? `Use at least ${SHORTEST_PASSWORD} characters` : null),
      again: (value, { next }) => (value === next ? null : 'The two are not the same'),
    },
  })
  const submit = form.onSubmit(async ({ old, next }) => {
    setBusy(true)
    try {
      await changePassword(old, next)
      form.reset()
      toastDone('Password changed; your other sign-ins have ended')
    } catch (error) {
      if (error instanceof ApiError && error.status === 403) form.setFieldError('old', error.message)
      else if (error instanceof ApiError && error.status === 400) form.setFieldError('next', error.message)
      else toastFailure(error)
    }
    setBusy(false)
  })
  return (
    <form onSubmit={submit} noValidate>
      <Stack gap="sm" maw={340}>
        <input type="text" name="username" autoComplete="username" value={me?.username ?? ''} readOnly hidden />
        <PasswordInput label="Present password" autoComplete="current-password" {...form.getInputProps('old')} />
        <PasswordInput label="New password" autoComplete="new-password" {...form.getInputProps('next')} />
        <PasswordInput label="New password again" autoComplete="new-password" {...form.getInputProps('again')} />
        <Group>
          <Button type="submit" loading={busy}>
            Change password
          </Button>
        </Group>
      </Stack>
    </form>
  )
}
