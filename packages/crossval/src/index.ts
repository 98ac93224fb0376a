export type { LadderCase } from './case.ts';
export { CrossvalError, type CrossvalErrorCode } from './errors.ts';
export { type LadderOptions, type LadderProgress, runLadder } from './ladder/run-ladder.ts';
export {
  type Json,
  type LadderCounts,
  type LadderFailure,
  type LadderFailureCode,
  type LadderReport,
  type Rung,
  type RungResult,
  RUNGS,
  type TapDifference,
  type WorstMetric,
  type WorstMetrics,
} from './ladder/report.ts';
export { renderReport } from './ladder/render-report.ts';
export { compareRows, type RowMetrics, topK } from './metrics.ts';
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
export { readSafetensors, type SafetensorsArray, writeSafetensors } from './safetensors.ts';
export { sha256, sha256OfFloats } from './sha256.ts';
export type { EvaluationMode, LogitsRow, Side, SideIdentity, TraceTap } from './side.ts';
export { EXACT_THRESHOLDS, type LadderThresholds, PLAYBOOK_THRESHOLDS, type RowLimits } from './thresholds.ts';
export { type RecordingFiles, writeRecording } from './write-recording.ts';
