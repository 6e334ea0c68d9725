/** The models that the site offers for a type, and a way to give any other. */
import { Radio, Text } from '@mantine/core'
import type { Model } from '../api/types'
import { familyName } from './families'
import css from './harness.module.css'

export const CUSTOM = 'custom'

interface Props {
  models: Model[]
  value: string
  onChange: (value: string) => void
}

export function ModelChoice({ models, value, onChange }: Props) {
  return (
    <Radio.Group label="Model" value={value} onChange={onChange}>
      <div className={css.cards}>
        {models.map((model) => (
          <Radio.Card key={model.id} value={model.id} className={css.card} p="xs">
            <span className={css.cardTitle}>{model.id}</span>
            <span className={css.cardText}>
              {familyName(model.family)}
              {model.default && ' · default'}
            </span>
          </Radio.Card>
        ))}
        <Radio.Card value={CUSTOM} className={css.card} p="xs">
          <span className={css.cardTitle}>Custom</span>
          <span className={css.cardText}>Any other id</span>
        </Radio.Card>
      </div>
      {models.length === 0 && (
        <Text fz="xs" c="dimmed">
          The site offers no models for this type; give the id of one.
        </Text>
      )}
    </Radio.Group>
  )
}
