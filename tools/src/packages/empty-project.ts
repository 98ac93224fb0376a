import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './run.ts';

/**
 * A folder with nothing but tarballs installed, as a user has them after `npm install`, and folders in it to run examples
 * in, each with the files that they name. Third-party dependencies come from npm's cache or the registry.
 *
 * @param tarballs - all of the workspace that is needed: none of it is in a registry yet
 * @param files - paths by name
 */
export async function makeEmptyProject(
  project: string,
  tarballs: readonly string[],
  folders: readonly string[],
  files: ReadonlyMap<string, string>,
): Promise<void> {
  await mkdir(project, { recursive: true });
  await writeFile(join(project, 'package.json'), '{ "private": true, "type": "module" }\n');
  const options = ['--prefer-offline', '--engine-strict', '--no-audit', '--no-fund', '--no-progress'];
  await run('npm', ['install', ...options, ...tarballs], { cwd: project });
  for (const folder of folders) {
    await mkdir(join(project, folder));
    for (const [name, file] of files) await cp(file, join(project, folder, name), { dereference: true });
  }
}
