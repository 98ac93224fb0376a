import { defineConfig } from 'tsup';

export default defineConfig({
  entry: { bin: 'src/bin.ts' },
  format: 'esm',
  platform: 'node',
  target: 'node22',
  sourcemap: true,
  clean: true,
  // Without both, tsup removes `node:` from imports, and some modules exist only with it.
  external: [/^node:/],
  removeNodeProtocol: false,
});
