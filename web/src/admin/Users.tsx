/** All users: create, reset a password, make or unmake an administrator, delete. */
import { Badge, Button, Checkbox, Group, Modal, NativeSelect, PasswordInput, Stack, Switch, Table, TextInput, VisuallyHidden } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useDisclosure, useDocumentTitle } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { KeyRound, Search, Trash2, UserPlus } from 'lucide-react'
import { useState } from 'react'
import { changeUser, createUser, deleteUser } from '../api/calls'
import { ApiError } from '../api/client'
import { queryClient } from '../api/link'
import { queries } from '../api/queries'
import type { AdminUser } from '../api/types'
import { toldDeleted, undoable } from '../deletions/deletions'
import { Ago } from '../ui/Ago'
import { confirmDeletion } from '../ui/dialogs'
import { IconAction } from '../ui/IconAction'
import { Loaded } from '../ui/Loaded'
import { Panel } from '../ui/Page'
import { attempt, toastDone, toastFailure } from '../ui/toast'
import { AdminPage } from './AdminPage'
import css from './admin.module.css'

const SHORTEST_PASSWORD = 8
const refresh = () => queryClient.invalidateQueries({ queryKey: ['admin-users'] })

export function Users() {
  const users = useQuery(queries.adminUsers())
  const [filter, setFilter] = useState('')
  const [creating, { open, close }] = useDisclosure()
  const [resetting, setResetting] = useState<AdminUser | null>(null)
  useDocumentTitle('Users · Cattery')
  return (
    <AdminPage
      actions={
        <Button leftSection={<UserPlus size={14} />} onClick={open}>
          New user
        </Button>
      }
    >
      <Panel
        title="Users"
        flush
        actions={
          <TextInput
            size="xs"
            aria-label="Filter users"
            placeholder="Filter"
            leftSection={<Search size={13} aria-hidden />}
            value={filter}
            onChange={(event) => setFilter(event.currentTarget.value)}
          />
        }
      >
        <Loaded query={users}>
          {(list) => (
            <div className={css.scroll}>
              <Table verticalSpacing={6} horizontalSpacing="md">
                <Table.Thead>
                  <Table.Tr>
                    <Table.Th>User name</Table.Th>
                    <Table.Th>Administrator</Table.Th>
                    <Table.Th>Last sign-in</Table.Th>
                    <Table.Th>Created</Table.Th>
                    <Table.Th>
                      <VisuallyHidden>Actions</VisuallyHidden>
                    </Table.Th>
                  </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                  {list
                    .filter(({ username }) => username.includes(filter.trim().toLowerCase()))
                    .map((user) => (
                      <UserRow key={user.user_id} user={user} reset={() => setResetting(user)} />
                    ))}
                </Table.Tbody>
              </Table>
            </div>
          )}
        </Loaded>
      </Panel>
      <Modal opened={creating} onClose={close} title="New user">
        <NewUser close={close} />
      </Modal>
      <Modal opened={resetting !== null} onClose={() => setResetting(null)} title={`New password for ${resetting?.username}`}>
        {resetting && <ResetPassword user={resetting} close={() => setResetting(null)} />}
      </Modal>
    </AdminPage>
  )
}

function UserRow({ user, reset }: { user: AdminUser; reset: () => void }) {
  const { data: me } = useQuery(queries.me())
  const self = me?.user_id === user.user_id
  const toggle = async () => {
    if (await attempt(() => changeUser(user.user_id, { is_admin: !user.is_admin }))) await refresh()
  }
  const remove = () => {
    let heir: string | null = null
    confirmDeletion({
      title: 'Delete user?',
      text: (
        <>
          The account “{user.username}” is deleted and signed out at once, and their membership in other projects ends.
          <HeirChoice user={user} choose={(chosen) => (heir = chosen)} />
        </>
      ),
      outlook: undoable('user'),
      submit: 'Delete user',
      run: async () => {
        await deleteUser(user.user_id, heir)
        await refresh()
        await toldDeleted(user.user_id, `${user.username} was deleted`)
      },
    })
  }
  return (
    <Table.Tr>
      <Table.Td>
        {user.username} {self && <span className={css.dim}>(you)</span>}
      </Table.Td>
      <Table.Td>
        {self ? (
          <Badge variant="light">administrator</Badge>
        ) : (
          <Switch
            size="sm"
            aria-label={`${user.username} is an administrator`}
            checked={user.is_admin}
            onChange={() => void toggle()}
          />
        )}
      </Table.Td>
      <Table.Td>{user.last_login_at ? <Ago at={user.last_login_at} /> : 'never'}</Table.Td>
      <Table.Td>
        <Ago at={user.created_at} />
      </Table.Td>
      <Table.Td>
        <Group gap={2} justify="flex-end" wrap="nowrap">
          <IconAction label={`Reset the password of ${user.username}`} icon={KeyRound} size={32} onClick={reset} />
          {!self && <IconAction label={`Delete ${user.username}`} icon={Trash2} size={32} onClick={remove} />}
        </Group>
      </Table.Td>
    </Table.Tr>
  )
}

function HeirChoice({ user, choose }: { user: AdminUser; choose: (heir: string | null) => void }) {
  const { data: users } = useQuery(queries.adminUsers())
  const others = (users ?? []).filter(({ user_id }) => user_id !== user.user_id)
  return (
    <NativeSelect
      mt="sm"
      label="Projects that they own"
      data={[
        { value: '', label: 'are deleted with files, harnesses and sessions' },
        ...others.map(({ user_id, username }) => ({ value: user_id, label: `go to ${username}` })),
      ]}
      onChange={(event) => choose(event.currentTarget.value || null)}
    />
  )
}

function NewUser({ close }: { close: () => void }) {
  const [busy, setBusy] = useState(false)
  const form = useForm({
    initialValues: { username: '', password: '', is_admin: false },
    validate: {
      username: (value) => (value.trim() ? null : 'Enter a user name'),
      password: (value) => (value.length < SHORTEST_PASSWORD ? `Use at least ${SHORTEST_PASSWORD} characters` : null),
    },
  })
  const submit = form.onSubmit(async ({ username, password, is_admin }) => {
    setBusy(true)
    try {
      await createUser(username.trim(), password, is_admin)
      await refresh()
      toastDone(`${username.trim()} can sign in now`)
      close()
    } catch (error) {
      if (error instanceof ApiError && error.status === 409) form.setFieldError('username', error.message)
      else toastFailure(error, 'Could not create the user')
      setBusy(false)
    }
  })
  return (
    <form onSubmit={submit} noValidate>
      <Stack gap="md">
        <TextInput data-autofocus label="User name" autoComplete="off" {...form.getInputProps('username')} />
        <PasswordInput label="Password" autoComplete="new-password" {...form.getInputProps('password')} />
        <Checkbox
          label="Administrator"
          description="Manages users; has no rights in other people's projects."
          {...form.getInputProps('is_admin', { type: 'checkbox' })}
        />
        <Buttons close={close} busy={busy} submit="Create user" />
      </Stack>
    </form>
  )
}

function ResetPassword({ user, close }: { user: AdminUser; close: () => void }) {
  const [busy, setBusy] = useState(false)
  const form = useForm({
    initialValues: { password: '' },
    validate: {
      password: (value) => (value.length < SHORTEST_PASSWORD ? `Use at least ${SHORTEST_PASSWORD} characters` : null),
    },
  })
  const submit = form.onSubmit(async ({ password }) => {
    setBusy(true)
    if (await attempt(() => changeUser(user.user_id, { password }), 'Could not set the password')) {
      toastDone(`${user.username} has a new password`)
      close()
    } else setBusy(false)
  })
  return (
    <form onSubmit={submit} noValidate>
      <Stack gap="md">
        <PasswordInput data-autofocus label="New password" autoComplete="new-password" {...form.getInputProps('password')} />
        <Buttons close={close} busy={busy} submit="Set password" />
      </Stack>
    </form>
  )
}

function Buttons({ close, busy, submit }: { close: () => void; busy: boolean; submit: string }) {
  return (
    <Group justify="flex-end" gap="xs">
      <Button variant="default" onClick={close}>
        Cancel
      </Button>
      <Button type="submit" loading={busy}>
        {submit}
      </Button>
    </Group>
  )
}
