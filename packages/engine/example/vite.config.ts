import { fileURLToPath } from 'node:url';
import { defineConfig, type UserConfig } from 'vite';

const config: UserConfig = defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  server: {
    // Cross-origin isolation: without it a page has no SharedArrayBuffer, and the engine one thread.
    headers: { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' },
    // The storyteller lies beside the engine.
    fs: { allow: [fileURLToPath(new URL('../../../', import.meta.url))] },
  },
  // Bundled dependencies would lose the WebAssembly that lies beside them.
  optimizeDeps: { exclude: ['@bittern/engine', '@bittern/gguf-parser', '@bittern/kernels'] },
});

export default config;
