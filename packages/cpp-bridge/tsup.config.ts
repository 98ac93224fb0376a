import { defineConfig } from 'tsup';

export default defineConfig({
  // The worker is a program of its own: a child process runs it.
  entry: { index: 'src/index.ts', worker: 'src/worker.ts' },
  format: 'esm',
  platform: 'node',
  target: 'node22',
  dts: { entry: { index: 'src/index.ts' } },
  sourcemap: true,
  clean: true,
  // Without both, tsup removes `node:` from imports, and some modules exist only with it.
  external: [/^node:/],
  removeNodeProtocol: false,
});
