import { compilerWarning, type PreflightReport } from '@bittern/cpp-bridge';
import { printable } from './output.ts';
import type { RecordingReport } from './recording-preflight.ts';

export type BackendReport = PreflightReport | RecordingReport;

/** For people. */
export const REFERENCE_TITLES = {
  llama: 'llama.cpp',
  bitnet: 'bitnet.cpp',
  recording: 'recording of bitnet.cpp',
} as const;

/** As `--json` has it: all that is known, and nothing that is not. */
export function documentOf(report: BackendReport): object {
  if (report.backend === 'recording') return report;
  const { backend, status, problem, next, inspection, run } = report;
  if (inspection === undefined) return { backend, status, problem, next };
  const { place, files, cpuVariants, glibc, generation, layoutSource, release, record, library } = inspection;
  return {
    backend,
    status,
    problem,
    next,
    origin: place.origin,
    folder: place.folder,
    files,
    generation,
    release,
    version: run?.version,
    numerics: run?.numerics,
    cpuVariant: library?.cpuVariant,
    cpuVariants,
    glibc,
    layouts: layoutSource,
    fetched: record?.source,
    knownAnswerError: run?.knownAnswerError,
  };
}

/** For a person: a few lines on each, more with `verbose`. */
export function textOf(report: BackendReport, verbose: boolean): string {
  const { backend, status, next } = report;
  const lines = [`${REFERENCE_TITLES[backend]}: ${status}`, ...findingsOf(report, verbose).map((line) => `  ${line}`)];
  if (next !== undefined) lines.push(`  Next: ${next}`);
  return lines.map((line) => `${printable(line)}\n`).join('');
}

/** The lines between: the problem, if there is one, and what was found out. */
export function findingsOf(report: BackendReport, verbose: boolean): string[] {
  const { problem } = report;
  return [
    ...(problem === undefined ? [] : [problem.message]),
    ...(report.backend === 'recording' ? recordingLines(report, verbose) : libraryLines(report, verbose)),
  ];
}

function recordingLines({ folder, references, model }: RecordingReport, verbose: boolean): string[] {
  const lines = references.length === 0 ? [] : [`builds: ${references.map(({ id }) => id).join(', ')}`];
  if (verbose) lines.push(`folder: ${folder}`);
  if (verbose && model !== undefined) lines.push(`model: ${model.path}`, `  SHA-256 ${model.sha256}`);
  return lines;
}

function libraryLines({ inspection, run }: PreflightReport, verbose: boolean): string[] {
  if (inspection === undefined) return [];
  const { place, files, cpuVariants, glibc, generation, layoutSource, release, record, library } = inspection;
  const lines = [`from: ${place.origin}`];
  const api = generation === undefined ? [] : [`${generation} API`];
  const version = run?.version.llama ?? release;
  const variant = library?.cpuVariant;
  const facts = [
    ...(version === undefined ? [] : [`version ${version}`]),
    ...api,
    ...(variant === undefined ? [] : [`CPU variant ${variant}`]),
    ...(run?.numerics == null ? [] : [`numerics ${run.numerics}`]),
  ];
  if (facts.length > 0) lines.push(facts.join(', '));
  const warning = library && compilerWarning(library);
  if (warning !== undefined) lines.push(`warning: ${warning}`);
  if (run !== undefined)
    lines.push(`known answer: right, largest error ${run.knownAnswerError.toExponential(1)} of the largest logit`);
  if (!verbose) return lines;

  lines.push(`folder: ${place.folder}`);
  for (const { role, path, sha256, machine, glibcFloor, glibcxxFloor, compilers } of files) {
    const needs = [
      ...(glibcFloor === undefined ? [] : [`glibc ${glibcFloor}`]),
      ...(glibcxxFloor === undefined ? [] : [`libstdc++ ${glibcxxFloor}`]),
    ];
    lines.push(
      `${role}: ${path}`,
      `  SHA-256 ${sha256}`,
      `  linux-${machine}${needs.length > 0 ? `, needs ${needs.join(' and ')}` : ''}`,
      ...(compilers.length > 0 ? [`  compiled by ${compilers.join(', ')}`] : []),
    );
  }
  if (glibc.needed !== undefined) lines.push(`glibc: needs ${glibc.needed}, here is ${glibc.here ?? 'none'}`);
  if (layoutSource !== undefined) lines.push(`struct layouts: ${layoutSource}`);
  if (cpuVariants.length > 0) lines.push(`CPU variants: ${cpuVariants.join(', ')}`);
  if (run !== undefined && run.version.ggml !== null) {
    lines.push(`ggml: ${run.version.ggml}${run.version.ggmlCommit === null ? '' : ` (${run.version.ggmlCommit})`}`);
  }
  if (run !== undefined) lines.push(`system: ${run.version.systemInfo.trim()}`);
  if (record?.source.kind === 'npm')
    lines.push(`fetched: ${record.source.package} ${record.source.version}, ${record.source.integrity}`);
  if (record?.source.kind === 'git')
    lines.push(`fetched: ${record.source.repo} ${record.source.commit}`, `built with: ${record.source.build}`);
  return lines;
}
