// Writes `THIRD-PARTY-NOTICES.md`: `pnpm notices`, on Linux on x64, for which all dependencies are installed.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { notices } from './packages/notices.ts';
import { readPublicPackages } from './packages/public-packages.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

await writeFile(join(ROOT, 'THIRD-PARTY-NOTICES.md'), await notices(ROOT, await readPublicPackages(ROOT)));
