/** Open the dialog that makes a harness, and go to it. */
import { modals } from '@mantine/modals'
import { HarnessForm } from './HarnessForm'

export function useNewHarness(project: string) {
  return () => {
    const id = modals.open({
      title: 'New harness',
      size: 'lg',
      children: <HarnessForm project={project} close={() => modals.close(id)} />,
    })
  }
}
