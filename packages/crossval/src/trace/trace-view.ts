import type { EvaluationMode, SideIdentity } from '../side.ts';
import type { TapPlace } from './tap-layout.ts';

/** An operation of a trace. */
export interface TracedTap extends TapPlace {
  /** Outermost first. */
  readonly shape: readonly number[];
  /** Of the f32 little-endian bytes; absent where the operation was only passed by. */
  readonly sha256?: string;
  /** How many values are NaN or infinite; absent where only the digest is known. */
  readonly nonFinite?: number;
}

/** What one side computed, operation by operation: from files, or held in memory. */
export interface TraceView {
  readonly side: SideIdentity;
  readonly mode: EvaluationMode;
  readonly ids: readonly number[];
  /** In execution order. */
  readonly taps: readonly TracedTap[];
  /** The values of one of `taps`; undefined where only its digest is known. */
  values(tap: TracedTap): Promise<Float32Array | undefined>;
}
