export { type LadderCase, tracedIds } from './case.ts';
export { CrossvalError, type CrossvalErrorCode } from './errors.ts';
export type { Json } from './json.ts';
export type { Whereabouts } from './ladder/locate.ts';
export { type LadderOptions, type LadderProgress, runLadder } from './ladder/run-ladder.ts';
export {
  type LadderCounts,
  type LadderFailure,
  type LadderFailureCode,
  type LadderReport,
  type Rung,
  type RungResult,
  RUNGS,
  type CaseReport,
  type DecodeStep,
  type NoiseReport,
  type RowReport,
  type Scatter,
  type TapDifference,
  type WorstMetric,
  type WorstMetrics,
} from './ladder/report.ts';
export { renderReport, type RenderOptions } from './ladder/render-report.ts';
export { compareRows, type RowMetrics, topK, type TopEntry } from './metrics.ts';
export { openRecording, type Recording } from './recording.ts';
export { type RecordOptions, recordSide } from './record-side.ts';
export {
  RECORDING_FORMAT,
  RECORDING_VERSION,
  type RecordedNode,
  type RecordedReference,
  type RecordedRow,
  type RecordedRun,
  type RecordedTrace,
  type RecordingDocument,
} from './recording-format.ts';
export { readSafetensors, type SafetensorsArray, writeSafetensors, writeSafetensorsHeader } from './safetensors.ts';
export { sha256, sha256OfFloats } from './sha256.ts';
export type { EvaluationMode, LogitsRow, Side, SideIdentity, TraceTap } from './side.ts';
export {
  EXACT_THRESHOLDS,
  GATED_METRICS,
  type GatedMetric,
  type LadderThresholds,
  onlyMetrics,
  parseThresholds,
  PLAYBOOK_THRESHOLDS,
  type RowLimits,
} from './thresholds.ts';
export { captureTrace, type CaptureOptions } from './trace/capture.ts';
export type { TapMetrics } from './trace/compare-tap.ts';
export {
  type DiffOptions,
  diffTraces,
  type LayerDrift,
  type TapDeviation,
  type TapReference,
  type TraceDiff,
} from './trace/diff.ts';
export { openTrace, type TraceFile, type TraceFileName, type TraceFiles } from './trace/open-trace.ts';
export { renderTraceDiff } from './trace/render-diff.ts';
export {
  TRACE_FORMAT,
  TRACE_VERSION,
  type TraceEntry,
  traceEntry,
  type TraceFooter,
  type TraceHeader,
  traceHeader,
} from './trace/trace-index.ts';
export type { TracedTap, TraceView } from './trace/trace-view.ts';
export { compareOperations, type OperationKind, type OperationResult, type OperationTable } from './operations.ts';
export type { TapKind } from './trace/tap-kind.ts';
export { type Cause, type CauseDescription, type CauseId, CAUSES } from './why/causes.ts';
export { bisect, type BisectOptions, type BisectResult } from './bisect.ts';
export { calibrated, measureNoise, type NoiseVariant } from './noise.ts';
export { renderGithubAnnotations, renderGithubSummary } from './report/github.ts';
export { renderHtml } from './report/html/page.ts';
export { renderJunit } from './report/junit.ts';
export type { OtherOutcome } from './report/other-outcome.ts';
export { type RecordingFiles, writeRecording } from './write-recording.ts';
