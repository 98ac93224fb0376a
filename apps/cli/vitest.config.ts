import { defineConfig } from 'vitest/config';

// Whole models are compared here, and machines of two cores run several packages' tests at once.
export default defineConfig({ test: { testTimeout: 60_000 } });
