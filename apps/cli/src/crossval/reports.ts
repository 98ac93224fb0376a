import { appendFile, writeFile } from 'node:fs/promises';
import {
  type LadderReport,
  type NotCompared,
  renderGithubAnnotations,
  renderGithubSummary,
  renderHtml,
  renderJunit,
} from '@bittern/crossval';
import type { Io } from '../io.ts';

/** Where else a comparison is told, by the names of the options. */
export interface ReportFiles {
  readonly html?: string;
  readonly junit?: string;
  readonly github?: true;
}

/** Writes the reports that were asked for. */
export async function writeReports(
  ladders: readonly LadderReport[],
  notCompared: readonly NotCompared[],
  files: ReportFiles,
  io: Io,
): Promise<void> {
  if (files.html !== undefined) await writeFile(files.html, renderHtml(ladders, notCompared));
  if (files.junit !== undefined) await writeFile(files.junit, renderJunit(ladders, notCompared));
  if (files.github !== true) return;
  // GitHub reads commands from either stream, and stdout has the result.
  io.stderr.write(renderGithubAnnotations(ladders, notCompared));
  const summary = process.env['GITHUB_STEP_SUMMARY'];
  if (summary !== undefined && summary !== '') await appendFile(summary, renderGithubSummary(ladders, notCompared));
}
