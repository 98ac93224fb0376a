import { execFileSync } from 'node:child_process';
import { defineConfig } from 'tsup';

/** The commit that is built, and whether files differ from it or are not in it; undefined outside of its repository. */
function builtFrom(): { readonly commit: string; readonly modified: boolean } | undefined {
  const git = (...args: string[]): string =>
    execFileSync('git', ['-C', import.meta.dirname, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 1 << 28,
    });
  try {
    // In a repository that does not track us, such as one of a user whose project has a copy, this fails.
    git('ls-files', '--error-unmatch', 'package.json');
    const modified = git('status', '--porcelain', '--untracked-files=normal', ':/') !== '';
    return { commit: git('rev-parse', 'HEAD').trim(), modified };
  } catch {
    return undefined; // no git, or no repository
  }
}

export default defineConfig({
  entry: { bin: 'src/bin.ts' },
  format: 'esm',
  platform: 'node',
  target: 'node22',
  sourcemap: true,
  clean: true,
  // What src/receipt/tool.ts declares
  define: { BUILT_FROM: JSON.stringify(builtFrom() ?? null) },
  // Without both, tsup removes `node:` from imports, and some modules exist only with it.
  external: [/^node:/],
  removeNodeProtocol: false,
});
