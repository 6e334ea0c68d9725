/** What a page says when it has nothing to show: what belongs here, and the next step. */
import { Stack, Text, Title } from '@mantine/core'
import type { LucideIcon } from 'lucide-react'
import type { ReactNode } from 'react'
import css from './ui.module.css'

interface Props {
  icon: LucideIcon
  title: string
  text: ReactNode
  children?: ReactNode
  level?: 1 | 2
}

export function EmptyState({ icon: Icon, title, text, children, level = 2 }: Props) {
  return (
    <Stack align="center" gap={6} py={56} px="md" ta="center">
      <span className={css.emptyIcon}>
        <Icon size={22} aria-hidden />
      </span>
      <Title order={level} fz={16} mt={8}>
        {title}
      </Title>
      <Text c="dimmed" fz="sm" maw={420}>
        {text}
      </Text>
      {children && <Stack mt="sm">{children}</Stack>}
    </Stack>
  )
}
