import { defineConfig } from 'vitest/config';

// Some tests start programs, and the machine may be busy with others.
export default defineConfig({
  test: { include: ['test/**/*.test.ts'], testTimeout: 120_000 },
});
