/**
 * One way to call the API: paths and shapes checked against its own OpenAPI document, cookie-
 * authenticated, same origin, errors as `ApiError` with the server's own sentence. Any 401 sends the
 * person to the sign-in page and back.
 */
import createClient from 'openapi-fetch'
import type { paths } from './schema'

/** A refused or failed call. `message` is a sentence for a person; `status` 0 means no answer came. */
export class ApiError extends Error {
  readonly status: number
  readonly code: string | null

  constructor(status: number, message: string, code: string | null = null) {
    super(message)
    this.name = 'ApiError'
    this.status = status
    this.code = code
  }
}

export const api = createClient<paths>({ baseUrl: location.origin, fetch: fetchOrSay })

interface Result<T> {
  data?: T
  error?: unknown
  response: Response
}

/** The answer's body, or an `ApiError`; `stayOn401` is for the sign-in form itself. */
export async function take<T>(call: Promise<Result<T>>, stayOn401 = false): Promise<T> {
  const { data, error, response } = await call
  if (response.ok) return data as T
  if (response.status === 401 && !stayOn401) signedOut()
  throw refusal(response.status, error)
}

/** An address under the API for what is no call: a download, a picture, an upload. */
export function address(path: string, query: Record<string, string> = {}): string {
  const search = new URLSearchParams(query).toString()
  return `/api/v1${path}${search ? `?${search}` : ''}`
}

/** Send the person to sign in, once, keeping the page they were on. */
export function signedOut() {
  if (location.pathname === '/login') return
  const next = location.pathname + location.search
  location.assign(next === '/' ? '/login' : `/login?next=${encodeURIComponent(next)}`)
}

/** A refusal as an error; the body may be anything when a proxy answered. */
export function refusal(status: number, body: unknown): ApiError {
  const { message, code } = (body && typeof body === 'object' ? body : {}) as { message?: unknown; code?: unknown }
  return new ApiError(
    status,
    typeof message === 'string' && message ? message : `The server answered ${status}. Try again in a moment.`,
    typeof code === 'string' ? code : null,
  )
}

async function fetchOrSay(request: Request): Promise<Response> {
  try {
    return await fetch(request)
  } catch (error) {
    if (request.signal.aborted) throw error
    throw new ApiError(0, 'The server did not answer. Check your connection and try again.')
  }
}
