/** Which models a harness type can be given: by the family that their ids tell. */
import type { HarnessType, Model } from '../api/types'

type Family = Model['family']

const NAMES: Record<Family, string> = { anthropic: 'Anthropic', openai: 'OpenAI' }

export const familyName = (family: Family) => NAMES[family]

export const familyOf = (model: string): Family => (model.startsWith('claude') ? 'anthropic' : 'openai')

export function modelsFor(type: HarnessType | undefined, models: Model[]): Model[] {
  return type ? models.filter(({ family }) => type.families.includes(family)) : models
}

/** What is chosen by itself: the site's default where it fits, else the first that does. */
export function defaultModel(models: Model[]): string {
  return (models.find((model) => model.default) ?? models[0])?.id ?? ''
}

/** Why a model's id does not go with a type; `null` where it does. */
export function familyProblem(type: HarnessType | undefined, model: string): string | null {
  if (!type || type.families.includes(familyOf(model))) return null
  const spoken = type.families.map(familyName).join(' and ')
  return `${type.display_name} speaks to ${spoken} models only; this id is one of ${familyName(familyOf(model))}’s`
}
