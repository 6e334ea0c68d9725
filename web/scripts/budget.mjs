// Fails when the built UI grew beyond its budget: what the first page loads, and any chunk loaded later.
// The sum follows static imports from index.html, because a split entry is still loaded whole.
import { readdirSync, readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

const DIST = new URL('../dist/', import.meta.url)
const ENTRY_KB = 210
const LAZY_KB = 120

const kb = (bytes) => bytes / 1_000
const gz = (name) => gzipSync(readFileSync(new URL(name, DIST)), { level: 9 }).length

const html = readFileSync(new URL('index.html', DIST), 'utf8')
const first = new Set([...html.matchAll(/(?:src|href)="\/(assets\/[^"]+\.(?:js|css))"/g)].map((m) => m[1]))
for (const name of first) {
  if (!name.endsWith('.js')) continue
  const code = readFileSync(new URL(name, DIST), 'utf8')
  for (const [, found] of code.matchAll(/(?:from|import)\s*"\.\/([^"]+\.js)"/g)) first.add(`assets/${found}`)
}

const entry = [...first].reduce((sum, name) => sum + gz(name), 0)
const lazy = readdirSync(new URL('assets/', DIST))
  .filter((name) => /\.(js|css)$/.test(name) && !first.has(`assets/${name}`))
  .map((name) => ({ name, size: gz(`assets/${name}`) }))
  .sort((a, b) => b.size - a.size)
// A grammar is data for one language, loaded when a file of that language is shown.
const grammars = new Set(readdirSync(new URL('../node_modules/@shikijs/langs/dist/', import.meta.url)).map((f) => f.replace(/\.m?js$/, '')))
const code = lazy.filter(({ name }) => !grammars.has(name.replace(/-[\w-]{8}\.js$/, '')))

console.log(`first page ${kb(entry).toFixed(1)} kB gz of ${ENTRY_KB} (${first.size} files)`)
for (const { name, size } of code.slice(0, 6)) console.log(`later      ${kb(size).toFixed(1)} kB gz of ${LAZY_KB}  ${name}`)

const over = code.filter(({ size }) => kb(size) > LAZY_KB)
if (kb(entry) > ENTRY_KB || over.length > 0) {
  console.error(`The UI is over its budget: ${over.map(({ name }) => name).join(', ') || 'the first page'}.`)
  process.exit(1)
}
