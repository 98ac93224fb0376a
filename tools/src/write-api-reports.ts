// Writes `tools/api/<package>.api.md` for every package that is published and exports something: `pnpm api-report`.
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { apiReports, reportFile } from './packages/api-report.ts';
import { readPublicPackages } from './packages/public-packages.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const reports = apiReports(ROOT, await readPublicPackages(ROOT));
await mkdir(join(ROOT, 'tools/api'), { recursive: true });
for (const file of await readdir(join(ROOT, 'tools/api'))) {
  if (file.endsWith('.api.md')) await rm(join(ROOT, 'tools/api', file));
}
for (const [one, report] of reports) await writeFile(join(ROOT, reportFile(one)), report);
console.log(`${reports.size} reports in tools/api/`);
