import { defineConfig } from 'tsup';

export default defineConfig({
  entry: ['src/index.ts'],
  format: 'esm',
  platform: 'node',
  target: 'node22',
  dts: true,
  sourcemap: true,
  clean: true,
  // Without both, tsup removes `node:` from imports, and some modules exist only with it.
  external: [/^node:/],
  removeNodeProtocol: false,
});
