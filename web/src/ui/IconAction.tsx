/** An icon that does one thing: its name is its tooltip and what a screen reader says. */
import { ActionIcon, Tooltip, type ActionIconProps, type FloatingPosition } from '@mantine/core'
import type { LucideIcon } from 'lucide-react'
import type { ComponentPropsWithoutRef } from 'react'

interface Props extends ActionIconProps, Omit<ComponentPropsWithoutRef<'button'>, keyof ActionIconProps> {
  label: string
  icon: LucideIcon
  iconSize?: number
  tip?: FloatingPosition
}

export function IconAction({ label, icon: Icon, iconSize = 16, tip = 'top', ...rest }: Props) {
  return (
    <Tooltip label={label} position={tip}>
      <ActionIcon aria-label={label} {...rest}>
        <Icon size={iconSize} aria-hidden />
      </ActionIcon>
    </Tooltip>
  )
}
