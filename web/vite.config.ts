import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

const api = process.env.CATTERY_API ?? 'http://127.0.0.1:8080'

export default defineConfig({
  plugins: [react()],
  server: { proxy: { '/api': { target: api, ws: true } } },
  build: {
    target: 'es2022',
    cssTarget: ['chrome123', 'firefox121', 'safari17.5'],
    chunkSizeWarningLimit: 900,
  },
  test: {
    environment: 'jsdom',
    setupFiles: './src/app/test-setup.ts',
    css: false,
    restoreMocks: true,
  },
})
