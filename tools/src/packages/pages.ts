import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Browser, chromium } from 'playwright';
import { build, preview } from 'vite';
import type { Example } from './examples.ts';

/** Cross-origin isolation: without it a page has no SharedArrayBuffer, and kernels no threads. */
const HEADERS = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

/** Chromium, headless; not playwright's own, which is downloaded. */
export async function openBrowser(): Promise<Browser> {
  const executablePath = process.env['CHROMIUM_PATH'] ?? '/usr/bin/chromium';
  if (!existsSync(executablePath)) {
    throw new Error(`There is no Chromium at ${executablePath}. Install it, or set CHROMIUM_PATH.`);
  }
  return await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-quic'] });
}

/** Bundles examples with vite in the project where their packages are installed. Its `public/` is beside the pages. */
export async function bundleExamples(project: string, examples: readonly Example[]): Promise<void> {
  const input: string[] = [];
  for (const { line, code } of examples) {
    const page = join(project, `line-${line}.html`);
    await writeFile(join(project, `line-${line}.page.js`), code);
    const script = `globalThis.example = import('./line-${line}.page.js');`;
    await writeFile(page, `<!doctype html><title>${line}</title><script type="module">${script}</script>\n`);
    input.push(page);
  }
  await build({
    root: project,
    configFile: false,
    logLevel: 'error',
    build: { target: 'esnext', rolldownOptions: { input } },
  });
}

/** Serves the bundle as it would be on a web server, and gives what each example printed, in order. */
export async function runBundles(
  browser: Browser,
  project: string,
  examples: readonly Example[],
): Promise<readonly string[]> {
  const server = await preview({
    root: project,
    configFile: false,
    logLevel: 'error',
    preview: { port: 0, host: '127.0.0.1', headers: HEADERS },
  });
  try {
    const [base] = server.resolvedUrls!.local;
    const outputs: string[] = [];
    for (const { line } of examples) outputs.push(await runPage(browser, `${base}line-${line}.html`));
    return outputs;
  } finally {
    await server.close();
  }
}

async function runPage(browser: Browser, url: string): Promise<string> {
  const page = await browser.newPage();
  let output = '';
  const problems: string[] = [];
  page
    .on('console', (message) => {
      if (message.type() === 'log') output += `${message.text()}\n`;
      else if (!message.location().url.endsWith('/favicon.ico')) problems.push(message.text());
    })
    .on('pageerror', (error) => problems.push(String(error)));
  try {
    await page.goto(url);
    await page.waitForFunction('globalThis.example !== undefined', undefined, { timeout: 120_000 });
    await page.evaluate('globalThis.example.then(() => true)');
  } catch (error) {
    problems.push(String(error));
  } finally {
    await page.close();
  }
  if (problems.length > 0) throw new Error(`${url}: ${problems.join('\n')}`);
  return output;
}
