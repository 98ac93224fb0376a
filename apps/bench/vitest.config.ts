import { defineConfig } from 'vitest/config';

// The cases start processes and load models, beside other packages' tests on machines of two cores.
export default defineConfig({ test: { testTimeout: 120_000 } });
