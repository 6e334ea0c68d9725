/** What the id of a model may be, as the server sees it. */
const LONGEST_MODEL = 200
const NO_CONTROLS = /^[^\s\p{Cc}]+$/u

export function modelProblem(id: string): string | null {
  if (!id) return 'Enter the id of a model'
  if (id.length > LONGEST_MODEL) return `Use at most ${LONGEST_MODEL} characters`
  return NO_CONTROLS.test(id) ? null : 'A model id has no blanks in it'
}
