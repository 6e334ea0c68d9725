/** Syntax colours by Shiki's core with its JavaScript engine: no WASM, so the CSP stays strict. */
import { createHighlighterCore, type HighlighterCore, type LanguageInput } from 'shiki/core'
import { createJavaScriptRegexEngine } from 'shiki/engine/javascript'

const LANGUAGES: Record<string, LanguageInput> = {
  bash: () => import('@shikijs/langs/bash'),
  c: () => import('@shikijs/langs/c'),
  cpp: () => import('@shikijs/langs/cpp'),
  css: () => import('@shikijs/langs/css'),
  diff: () => import('@shikijs/langs/diff'),
  docker: () => import('@shikijs/langs/docker'),
  go: () => import('@shikijs/langs/go'),
  html: () => import('@shikijs/langs/html'),
  ini: () => import('@shikijs/langs/ini'),
  java: () => import('@shikijs/langs/java'),
  json: () => import('@shikijs/langs/json'),
  makefile: () => import('@shikijs/langs/makefile'),
  markdown: () => import('@shikijs/langs/markdown'),
  php: () => import('@shikijs/langs/php'),
  python: () => import('@shikijs/langs/python'),
  ruby: () => import('@shikijs/langs/ruby'),
  rust: () => import('@shikijs/langs/rust'),
  sql: () => import('@shikijs/langs/sql'),
  toml: () => import('@shikijs/langs/toml'),
  tsx: () => import('@shikijs/langs/tsx'),
  typescript: () => import('@shikijs/langs/typescript'),
  xml: () => import('@shikijs/langs/xml'),
  yaml: () => import('@shikijs/langs/yaml'),
}

const THEMES = { light: 'github-light-high-contrast', dark: 'github-dark' } as const
const CACHED = 300
/** Beyond this, colouring takes longer than a reader should wait. */
const LONGEST = 200_000

let highlighter: Promise<HighlighterCore> | null = null
const cache = new Map<string, string>()

/** HTML of the coloured code, escaped by Shiki; null when the language is not known. */
export async function highlight(code: string, language: string): Promise<string | null> {
  const lang = languageOf(language)
  const load = lang ? LANGUAGES[lang] : undefined
  if (!lang || !load || code.length > LONGEST) return null
  const key = `${lang}\0${code}`
  const known = cache.get(key)
  if (known) return known
  highlighter ??= createHighlighterCore({
    themes: [import('@shikijs/themes/github-light-high-contrast'), import('@shikijs/themes/github-dark')],
    langs: [],
    engine: createJavaScriptRegexEngine({ forgiving: true }),
  })
  const shiki = await highlighter
  if (!shiki.getLoadedLanguages().includes(lang)) await shiki.loadLanguage(load)
  const html = shiki.codeToHtml(code, { lang, themes: THEMES, defaultColor: false })
  const oldest = cache.size > CACHED ? cache.keys().next().value : undefined
  if (oldest !== undefined) cache.delete(oldest)
  cache.set(key, html)
  return html
}

const ALIASES: Record<string, string> = {
  cc: 'cpp',
  cfg: 'ini',
  conf: 'ini',
  console: 'bash',
  cts: 'typescript',
  dockerfile: 'docker',
  env: 'ini',
  h: 'c',
  hpp: 'cpp',
  htm: 'html',
  javascript: 'typescript',
  js: 'typescript',
  jsonc: 'json',
  jsx: 'tsx',
  make: 'makefile',
  md: 'markdown',
  mjs: 'typescript',
  mts: 'typescript',
  patch: 'diff',
  py: 'python',
  pyi: 'python',
  rb: 'ruby',
  rs: 'rust',
  sh: 'bash',
  shell: 'bash',
  svg: 'xml',
  ts: 'typescript',
  yml: 'yaml',
  zsh: 'bash',
}

function languageOf(name: string): string | null {
  const lower = name.toLowerCase()
  const lang = ALIASES[lower] ?? lower
  return Object.hasOwn(LANGUAGES, lang) ? lang : null
}

/** The language that a file's name tells, or nothing. */
export function languageOfFile(path: string): string {
  const base = path.split('/').at(-1)?.toLowerCase() ?? ''
  if (base === 'makefile' || base === 'dockerfile') return base
  return base.includes('.') ? (base.split('.').at(-1) ?? '') : ''
}
