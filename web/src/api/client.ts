/**
 * One way to call the API: cookie-authenticated, same origin, errors as `ApiError` with the server's
 * own sentence, and any 401 sends the person to the sign-in page and back.
 */

const BASE = '/api/v1'

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

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE'
type Query = Record<string, string | number | undefined>
interface Options {
  query?: Query
  body?: unknown
  headers?: Record<string, string>
  signal?: AbortSignal
  /** The sign-in form itself must not be sent to the sign-in form. */
  stayOn401?: boolean
}

export async function request<T>(method: Method, path: string, options: Options = {}): Promise<T> {
  const { query, body, headers, signal, stayOn401 } = options
  const sent: RequestInit = {
    method,
    headers: { ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(signal ? { signal } : {}),
  }
  let response: Response
  try {
    response = await fetch(address(path, query), sent)
  } catch (error) {
    if (signal?.aborted) throw error
    throw new ApiError(0, 'The server did not answer. Check your connection and try again.')
  }
  if (response.ok) return (await parsed(response)) as T
  if (response.status === 401 && !stayOn401) signedOut()
  throw await refusal(response)
}

/** Make an address under the API from path segments that may hold any character. */
export function address(path: string, query: Query = {}): string {
  const known = Object.entries(query).filter(([, value]) => value !== undefined)
  const search = new URLSearchParams(known.map(([key, value]) => [key, String(value)])).toString()
  return BASE + path + (search ? `?${search}` : '')
}

/** Send the person to sign in, once, keeping the page they were on. */
export function signedOut() {
  if (location.pathname === '/login') return
  const next = location.pathname + location.search
  location.assign(next === '/' ? '/login' : `/login?next=${encodeURIComponent(next)}`)
}

async function parsed(response: Response): Promise<unknown> {
  const text = await response.text()
  return text ? JSON.parse(text) : undefined
}

/** Turn a refusal into an error; the body may be anything when a proxy answered. */
export async function refusal(response: Response): Promise<ApiError> {
  const fallback = `The server answered ${response.status}. Try again in a moment.`
  try {
    return refusalFrom(response.status, await response.text(), fallback)
  } catch {
    return new ApiError(response.status, fallback)
  }
}

export function refusalFrom(status: number, text: string, fallback: string): ApiError {
  const body: unknown = JSON.parse(text)
  const { message, code } = body as { message?: unknown; code?: unknown }
  return new ApiError(
    status,
    typeof message === 'string' && message ? message : fallback,
    typeof code === 'string' ? code : null,
  )
}
