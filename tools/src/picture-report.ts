// Makes docs/images/crossval-report.png, the picture in README.md: the HTML report of a model with a wrong RoPE base, in the
// headless Chromium of the browser tests. Needs bittern built: `pnpm --filter @bittern/tools run picture-report`.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { chromium } from 'playwright';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PICTURE = join(ROOT, 'docs/images/crossval-report.png');
const MODEL = join(ROOT, 'packages/storyteller/model/storyteller.i2_s.gguf');
const MOST_BYTES = 150_000;

const folder = await mkdtemp(join(tmpdir(), 'bittern-picture-'));
try {
  const [broken, report] = [join(folder, 'rope-base.gguf'), join(folder, 'report.html')];
  execFileSync(process.execPath, [join(ROOT, 'tools/src/break-model.ts'), 'rope-base', MODEL, broken]);
  const prompt = ['-p', 'Once upon a time ', '--html', report];
  const argv = ['crossval', '-m', broken, '--reference-model', MODEL, ...prompt];
  const { status } = spawnSync(process.execPath, [join(ROOT, 'apps/cli/dist/bin.js'), ...argv], { stdio: 'ignore' });
  if (status !== 1) throw new Error(`crossval ended with ${status}, and should have found a difference (1).`);

  const browser = await chromium.launch({
    executablePath: process.env['CHROMIUM_PATH'] ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu'],
  });
  const page = await browser.newPage({ viewport: { width: 1000, height: 900 }, colorScheme: 'light' });
  await page.goto(pathToFileURL(report).href);
  await mkdir(dirname(PICTURE), { recursive: true });
  await page.screenshot({ path: PICTURE });
  await browser.close();
  const { size } = await stat(PICTURE);
  if (size > MOST_BYTES) throw new Error(`The picture has ${size} bytes; ${MOST_BYTES} are enough.`);
  console.log(`${PICTURE}: ${size} bytes`);
} finally {
  await rm(folder, { recursive: true });
}
