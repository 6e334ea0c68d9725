/** The API's objects under the names that the UI uses; `npm run api:types` makes the schema. */
import type { components } from './schema'

type Schemas = components['schemas']

export type User = Schemas['Me']
export type UserMatch = Schemas['UserName']
export type AdminUser = Schemas['User']
export type Project = Schemas['Project']
export type Member = Schemas['Member']
export type Harness = Schemas['Harness']
export type NewHarness = Schemas['HarnessCreate']
export type SandboxStep = Schemas['ProvisioningStep']
export type RuntimeEvent = Schemas['RuntimeEvent']
export type Recovery = Schemas['Recovery']
export type Session = Schemas['Session']
export type AcceptedPrompt = Schemas['AcceptedPrompt']
export type Answer = Schemas['GivenAnswer']
export type Model = Schemas['Model']
export type HarnessType = Schemas['HarnessTypeOffer']
export type Site = Schemas['Site']
export type Entry = Schemas['Entry']
export type FileText = Schemas['FileText']
export type Skill = Schemas['Skill']
