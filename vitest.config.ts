import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    projects: ['packages/*', 'apps/*', 'tools'],
    reporters: ['default', './tools/src/closing-line-reporter.ts'],
    testTimeout: 60_000,
    maxWorkers: '100%', // on two cores the default is one
  },
});
