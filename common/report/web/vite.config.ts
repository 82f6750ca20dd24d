// One HTML file with everything in it: the page is opened from a disk, and asks for nothing.
import { defineConfig } from 'vitest/config';
import { viteSingleFile } from 'vite-plugin-singlefile';

export default defineConfig({
  plugins: [viteSingleFile({ removeViteModuleLoader: true })],
  esbuild: { legalComments: 'none' },
  build: { target: 'es2020', outDir: 'dist', assetsInlineLimit: Number.MAX_SAFE_INTEGER, reportCompressedSize: false },
  test: { include: ['tests/**/*.test.ts'], environment: 'node', testTimeout: 300_000, hookTimeout: 150_000 },
});
