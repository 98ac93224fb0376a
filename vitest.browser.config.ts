import { existsSync } from 'node:fs';
import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';

// Tests that run in a page of headless Chromium: `pnpm test:browser`. Playwright's own browsers are not downloaded.

const executablePath = process.env['CHROMIUM_PATH'] ?? '/usr/bin/chromium';
if (!existsSync(executablePath)) {
  throw new Error(
    `There is no Chromium at ${executablePath}. Install it (Debian: apt-get install chromium), or set CHROMIUM_PATH.`,
  );
}

export default defineConfig({
  // Cross-origin isolation: without it a page has no SharedArrayBuffer, and kernels no threads.
  server: { headers: { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' } },
  // Without it, dependencies found on the way reload the page in the middle of a test.
  optimizeDeps: { entries: ['packages/*/test/**/*.browser.ts'] },
  test: {
    include: ['packages/*/test/**/*.browser.ts'],
    reporters: ['default', './tools/src/closing-line-reporter.ts'],
    testTimeout: 120_000,
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: playwright({
        launchOptions: {
          executablePath,
          args: [
            '--no-sandbox',
            '--disable-gpu',
            '--disable-quic',
            '--no-first-run',
            '--disable-background-networking',
            '--disable-component-update',
            '--disable-sync',
          ],
        },
      }),
      instances: [{ browser: 'chromium' }],
    },
  },
});
