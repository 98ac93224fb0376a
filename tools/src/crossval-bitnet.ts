import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/*
 * Every model of the repository in the bitnet.cpp that BITNET_CPP_DIR names, against our engine: every bit must be equal.
 * Ends with the worst exit code; further arguments go to each comparison.
 */

const root = fileURLToPath(new URL('../../', import.meta.url));
const fixtures = ['tiny-random', 'tiny-random-bitnet'].map((name) => {
  const folder = `tools/fixtures/${name}`;
  return ['-m', `${folder}/${name}.i2_s.gguf`, '--reference', `${folder}/recording`];
});

let worst = 0;
for (const model of [[], ...fixtures]) {
  const argv = ['apps/cli/dist/bin.js', 'crossval', '--exact', '--cpp-backend', 'bitnet', ...model];
  const { status } = spawnSync(process.execPath, [...argv, ...process.argv.slice(2)], { cwd: root, stdio: 'inherit' });
  worst = Math.max(worst, status ?? 130);
  // Without a reference the others would only say the same.
  if (status === 3) break;
}
process.exitCode = worst;
