/** Environment variables as people paste them: one KEY=VALUE a line, `#` comments, blank lines. */

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/

export type ParsedEnv = { ok: true; vars: Record<string, string> } | { ok: false; problem: string }

export function parseEnv(text: string): ParsedEnv {
  const vars: Record<string, string> = {}
  for (const [i, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim().replace(/^export\s+/, '')
    if (!line || line.startsWith('#')) continue
    const at = line.indexOf('=')
    if (at < 0) return { ok: false, problem: `Line ${i + 1}: write it as KEY=VALUE` }
    const key = line.slice(0, at).trim()
    if (!NAME.test(key)) return { ok: false, problem: `Line ${i + 1}: “${key}” is not a valid name` }
    if (Object.hasOwn(vars, key)) return { ok: false, problem: `Line ${i + 1}: ${key} is set twice` }
    vars[key] = unquoted(line.slice(at + 1).trim())
  }
  return { ok: true, vars }
}

function unquoted(value: string): string {
  const quoted = /^(["'])(.*)\1$/.exec(value)
  return quoted?.[2] ?? value
}
