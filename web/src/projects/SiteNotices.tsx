/** What whoever uses this site should know of how it runs: a demo model, unconfined sandboxes. */
import { Alert, Stack } from '@mantine/core'
import { useLocalStorage } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { FlaskConical, ShieldOff } from 'lucide-react'
import { queries } from '../api/queries'
import css from './projects.module.css'

export function SiteNotices() {
  const { data: site } = useQuery(queries.site())
  const [hidden, setHidden] = useLocalStorage<string[]>({
    key: 'cattery-hidden-notices',
    defaultValue: [],
    getInitialValueInEffect: false,
  })
  if (!site) return null
  const close = (what: string) => ({
    withCloseButton: true,
    closeButtonLabel: 'Hide this notice',
    onClose: () => setHidden([...hidden, what]),
  })
  return (
    <Stack gap="xs" mb="md" className={css.notices}>
      {site.demo_model && !hidden.includes('demo') && (
        <Alert color="yellow" variant="light" icon={<FlaskConical size={17} />} title="The demo model answers" {...close('demo')}>
          {site.demo_hint ?? 'No real model is configured on this site.'}
        </Alert>
      )}
      {!site.isolation.confined && !hidden.includes('isolation') && (
        <Alert color="yellow" variant="light" icon={<ShieldOff size={17} />} title="Sandboxes are not confined" {...close('isolation')}>
          {site.isolation.summary}
        </Alert>
      )}
    </Stack>
  )
}
