export { describeMachine, type Machine } from './machine.ts';
export { interleave, type InterleaveOptions, type Turn } from './interleave.ts';
export { MeasureError, type MeasureErrorCode } from './errors.ts';
export { Limits, type LimitsOptions, type LimitsSample } from './limits.ts';
export { median, quantile, summarize, type Summary } from './statistics.ts';
