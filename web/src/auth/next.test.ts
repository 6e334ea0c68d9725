import { describe, expect, it } from 'vitest'
import { safeNext } from './next'

describe('the page after sign-in', () => {
  it.each([
    [undefined, '/'],
    ['/p/1/s/2?at=3', '/p/1/s/2?at=3'],
    ['https://elsewhere.example/', '/'],
    ['//elsewhere.example/', '/'],
    ['/\\elsewhere.example', '/'],
    ['javascript:alert(1)', '/'],
    ['/login?next=/login', '/'],
  ])('of %j is %j', (next, page) => {
    expect(safeNext(next)).toBe(page)
  })
})
