import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const OTHERS = [22, 24];
const require = createRequire(import.meta.url);

/** Programs of each version of Node that the packages are for, by its major version; this one is the last. */
export function nodeVersions(): ReadonlyMap<number, string> {
  const versions = new Map<number, string>();
  // The others come from npm as programs for Linux on x64.
  if (process.platform === 'linux' && process.arch === 'x64') {
    for (const major of OTHERS) {
      versions.set(major, join(dirname(require.resolve(`node-${major}/package.json`)), 'bin', 'node'));
    }
  }
  return versions.set(Number(process.versions.node.split('.')[0]), process.execPath);
}
