import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './run.ts';

/**
 * A folder with nothing but tarballs installed, as a user has them after `npm install`, and folders in it to run examples
 * in, each with the small model as the `model.gguf` that they name. Third-party dependencies come from npm's cache or the registry.
 *
 * @param tarballs - all of the workspace that is needed: none of it is in a registry yet
 */
export async function makeEmptyProject(
  folder: string,
  tarballs: readonly string[],
  model: string,
  folders: readonly string[],
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n');
  const options = ['--prefer-offline', '--engine-strict', '--no-audit', '--no-fund', '--no-progress'];
  await run('npm', ['install', ...options, ...tarballs], { cwd: folder });
  for (const name of ['public', ...folders]) {
    await mkdir(join(folder, name));
    await copyFile(model, join(folder, name, 'model.gguf'));
  }
}
