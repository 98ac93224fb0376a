import { defineConfig } from 'vitest/config';

// Other programs are run here, npm and git among them, and machines of two cores run several packages' tests at once.
export default defineConfig({ test: { testTimeout: 60_000 } });
