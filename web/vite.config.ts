import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'
import react from '@vitejs/plugin-react'
import type { Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

const api = process.env.CATTERY_API ?? 'http://127.0.0.1:8080'

export default defineConfig({
  plugins: [react(), withoutSecondHighlighter(), compressed()],
  server: { proxy: { '/api': { target: api, ws: true } } },
  build: {
    target: 'es2022',
    cssTarget: ['chrome123', 'firefox121', 'safari17.5'],
    chunkSizeWarningLimit: 900,
    reportCompressedSize: false,
  },
  test: {
    environment: 'jsdom',
    setupFiles: './src/app/test-setup.ts',
    css: false,
    restoreMocks: true,
    // Long, as a loaded machine is slow.
    testTimeout: 20_000,
  },
})

/** The diff view can colour by a second engine, 200 kB that we never ask for: its module is left out. */
function withoutSecondHighlighter(): Plugin {
  const stub = '\0no-second-highlighter'
  return {
    name: 'without-second-highlighter',
    enforce: 'pre',
    apply: 'build',
    resolveId: (source, importer) =>
      source.endsWith('/backends/highlights.js') && importer?.includes('@pierre/diffs') ? stub : null,
    load: (id) => (id === stub ? 'export class HighlightsHighlighter {}' : null),
  }
}

/** Leaves a `.br` and a `.gz` beside each file that is worth it; the API serves what a browser takes. */
function compressed(): Plugin {
  const worth = /\.(js|css|svg|html)$/
  const least = 1_024
  const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }
  return {
    name: 'compressed',
    apply: 'build',
    async writeBundle({ dir }) {
      if (!dir) return
      const files = await readdir(dir, { recursive: true, withFileTypes: true })
      const chosen = files.filter((f) => f.isFile() && worth.test(f.name))
      await Promise.all(
        chosen.map(async (f) => {
          const path = join(f.parentPath, f.name)
          const bytes = await readFile(path)
          if (bytes.length < least) return
          await writeFile(`${path}.gz`, await promisify(gzip)(bytes, { level: 9 }))
          await writeFile(`${path}.br`, await promisify(brotliCompress)(bytes, quality))
        }),
      )
    },
  }
}
