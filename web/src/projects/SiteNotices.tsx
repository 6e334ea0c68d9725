/** What whoever uses this site should know of how it runs: a demo model, unconfined sandboxes. */
import { Stack } from '@mantine/core'
import { useLocalStorage } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { FlaskConical, ShieldOff } from 'lucide-react'
import { queries } from '../api/queries'
import { Notice } from '../ui/Notice'

export function SiteNotices() {
  const { data: site } = useQuery(queries.site())
  const [hidden, setHidden] = useLocalStorage<string[]>({
    key: 'cattery-hidden-notices',
    defaultValue: [],
    getInitialValueInEffect: false,
  })
  const shown = (what: string, holds: boolean | undefined) => holds === true && !hidden.includes(what)
  const demo = shown('demo', site?.demo_model)
  // Hidden is what was read: another reason is shown again.
  const isolation = `isolation: ${site?.isolation.summary}`
  const unconfined = shown(isolation, site && !site.isolation.confined)
  if (!site || (!demo && !unconfined)) return null
  return (
    <Stack gap="xs" mb="md">
      {demo && (
        <Notice kind="warn" icon={FlaskConical} title="The demo model answers" onClose={() => setHidden([...hidden, 'demo'])}>
          {site.demo_hint ?? 'No real model is configured on this site.'}
        </Notice>
      )}
      {unconfined && (
        <Notice
          kind="warn"
          icon={ShieldOff}
          title="Sandboxes are not confined"
          onClose={() => setHidden([...hidden, isolation])}
        >
          {site.isolation.summary}
        </Notice>
      )}
    </Stack>
  )
}
