/** The sign-in page. The cookie that the server sets is the session; nothing is stored here. */
import { Button, Card, PasswordInput, Stack, Text, TextInput, Title } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useDocumentTitle } from '@mantine/hooks'
import { useSearch } from '@tanstack/react-router'
import { CircleAlert } from 'lucide-react'
import { useState } from 'react'
import { signIn } from '../api/calls'
import { ApiError } from '../api/client'
import { Notice } from '../ui/Notice'
import { safeNext } from './next'
import css from './auth.module.css'

export function Login() {
  const { next } = useSearch({ from: '/login' })
  const [error, setError] = useState<string | null>(null)
  const [busy, setBusy] = useState(false)
  useDocumentTitle('Sign in · Cattery')
  const form = useForm({
    initialValues: { username: '', password: '' },
    validate: {
      username: (value) => (value.trim() ? null : 'Enter your username'),
      password: (value) => (value ? null : 'Enter your password'),
    },
  })
  const submit = form.onSubmit(async ({ username, password }) => {
    setBusy(true)
    setError(null)
    try {
      await signIn(username, password)
      // A full load: no query, socket or transcript of an earlier user survives it.
      location.assign(safeNext(next))
    } catch (failure) {
      setError(failure instanceof ApiError ? failure.message : 'Sign-in failed. Try again.')
      form.setFieldValue('password', '')
      setBusy(false)
    }
  })
  return (
    <main className={css.page}>
      <Card withBorder radius="lg" p={28} w={368} maw="92vw" className={css.card}>
        <form noValidate onSubmit={submit}>
          <Stack gap="md">
            <div>
              <img src="/icon.svg" width={38} height={38} alt="" />
              <Title order={1} fz={20} mt={12}>
                Sign in to Cattery
              </Title>
              <Text c="dimmed" fz="sm" mt={2}>
                Use the account your administrator gave you.
              </Text>
            </div>
            {error && (
              <Notice kind="bad" icon={CircleAlert} role="alert">
                {error}
              </Notice>
            )}
            <TextInput
              label="Username"
              autoComplete="username"
              autoCapitalize="off"
              spellCheck={false}
              autoFocus
              {...form.getInputProps('username')}
            />
            <PasswordInput
              label="Password"
              autoComplete="current-password"
              visibilityToggleButtonProps={{ 'aria-label': 'Show what is typed', tabIndex: 0 }}
              {...form.getInputProps('password')}
            />
            <Button type="submit" size="sm" loading={busy} mt={4}>
              Sign in
            </Button>
            <Text c="dimmed" fz="xs">
              First start? <code>cattery up</code> printed the password of <code>admin</code>;{' '}
              <code>cattery admin reset-password</code> makes a new one.
            </Text>
          </Stack>
        </form>
      </Card>
    </main>
  )
}
