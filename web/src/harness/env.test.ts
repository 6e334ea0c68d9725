import { describe, expect, it } from 'vitest'
import { parseEnv } from './env'

describe('environment lines', () => {
  it('are KEY=VALUE with comments, exports, quotes and blank lines', () => {
    const text = '# a comment\nA=1\n\nexport B="two words"\nC=x=y\nD=\r\n'
    expect(parseEnv(text)).toEqual({ ok: true, vars: { A: '1', B: 'two words', C: 'x=y', D: '' } })
  })

  it.each([
    ['A=1\nnonsense', 'Line 2: write it as KEY=VALUE'],
    ['1A=x', 'Line 1: “1A” is not a valid name'],
    ['A=1\nA=2', 'Line 2: A is set twice'],
  ])('name the line that is wrong: %j', (text, problem) => {
    expect(parseEnv(text)).toEqual({ ok: false, problem })
  })
})
