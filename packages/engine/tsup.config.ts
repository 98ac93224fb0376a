import { defineConfig } from 'tsup';

export default defineConfig({
  entry: ['src/index.ts', 'src/text.ts'],
  format: 'esm',
  platform: 'neutral',
  target: 'es2023',
  dts: true,
  sourcemap: true,
  clean: true,
});
