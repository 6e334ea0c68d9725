/** Around every page: dialogs stand inside the router, because what they do may lead elsewhere. */
import { ModalsProvider } from '@mantine/modals'
import { Outlet } from '@tanstack/react-router'

export function Root() {
  return (
    <ModalsProvider>
      <Outlet />
    </ModalsProvider>
  )
}
