import { appendFile, writeFile } from 'node:fs/promises';
import {
  type LadderReport,
  type OtherOutcome,
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
  others: readonly OtherOutcome[],
  files: ReportFiles,
  io: Io,
): Promise<void> {
  if (files.html !== undefined) await writeFile(files.html, renderHtml(ladders, others));
  if (files.junit !== undefined) await writeFile(files.junit, renderJunit(ladders, others));
  if (files.github !== true) return;
  // GitHub reads commands from either stream, and stdout has the result.
  io.stderr.write(renderGithubAnnotations(ladders, others));
  const summary = io.env['GITHUB_STEP_SUMMARY'];
  if (summary !== undefined && summary !== '') await appendFile(summary, renderGithubSummary(ladders, others));
}
