import { describe, expect, it } from 'vitest'
import { ago, bytes, elapsed, lasting, span } from './time'

const NOW = Date.parse('2026-03-10T12:00:00Z')

describe('words for moments and sizes', () => {
  it.each([
    ['2026-03-10T11:59:30Z', 'now'],
    ['2026-03-10T11:15:00Z', '45 min'],
    ['2026-03-10T03:00:00Z', '9 h'],
    ['2026-03-07T12:00:00Z', '3 d'],
    ['2025-03-10T12:00:00Z', 'Mar 10, 2025'],
  ])('%s is %s', (at, words) => {
    expect(ago(at, NOW)).toBe(words)
  })

  it('are short', () => {
    expect(span('2026-03-10T12:00:00.000Z', '2026-03-10T12:00:03.700Z')).toBe('3.7 s')
    expect([bytes(900), bytes(1_536), bytes(20 * 1_048_576)]).toEqual(['900 B', '1.5 KB', '20 MB'])
  })

  it.each([
    [59_990, '59 s'],
    [119_999, '1 min 59 s'],
    [3_725_000, '1 h 2 min'],
    [-5_000, '0 s'],
  ])('%d ms by a running clock are %s', (gone, words) => {
    expect(elapsed(new Date(NOW - gone).toISOString(), NOW)).toBe(words)
  })
})

describe('a length of time', () => {
  it('is said in its largest unit that reads well', () => {
    expect([45, 60, 1_800, 3_600, 5_400, 14_400, 86_400, 100_000, 864_000].map(lasting)).toEqual([
      '45 seconds',
      '1 minute',
      '30 minutes',
      '1 hour',
      '90 minutes',
      '4 hours',
      '1 day',
      '27.8 hours',
      '10 days',
    ])
  })
})
