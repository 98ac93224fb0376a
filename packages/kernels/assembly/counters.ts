// What each operation did: calls, rows, elements, bytes and nanoseconds, in memory that src/counters.ts reads.
//
// An operation has a number (src/operations.ts) and 40 bytes at counters + 40 * number: four u64 and an f64. Every thread
// has a table of its own, because an instance has globals of its own: nothing is shared, and sums are taken on reading.

/** Milliseconds. */
// @ts-ignore: decorator
@external("env", "now")
declare function now(): f64;

const CALLS: usize = 0;
const ROWS: usize = 8;
const ELEMENTS: usize = 16;
const BYTES: usize = 24;
const NANOSECONDS: usize = 32;

let counters: usize = 0; // this thread's table
let isFirst: bool = true; // of the team's threads
let calls: u64 = 1; // that this thread counts for its share of a call: each call counts with one of them
let timed: bool = false; // calls one by one, by the clock

/** Where this thread counts, and whether it is the first, which counts calls. Before anything else is called. */
export function useCounters(table: usize, first: bool): void {
  counters = table;
  isFirst = first;
  countCall(first);
}

/** Whether the shares of calls that follow count as calls. */
export function countCall(counts: bool): void {
  calls = counts ? 1 : 0;
}

/** As it is unless {@link countCall} says otherwise: the first thread's shares count. */
export function countFirstThread(): void {
  countCall(isFirst);
}

/** Whether each call reads the clock. Within a program it is read at the barriers instead: see `runProgram`. */
export function timeCalls(on: bool): void {
  timed = on;
}

export function callsAreTimed(): bool {
  return timed;
}

/** The clock, where calls are timed one by one. */
// @ts-ignore: decorator
@inline
export function started(): f64 {
  return timed ? now() : 0;
}

/** The clock. */
// @ts-ignore: decorator
@inline
export function clock(): f64 {
  return now();
}

/**
 * Counts this thread's share of a call.
 *
 * @param bytes - of this share; `callBytes` - of what all shares read, such as a vector: counted once
 */
// @ts-ignore: decorator
@inline
export function tally(operation: i32, start: f64, rows: i32, elements: u64, bytes: u64, callBytes: u64): void {
  const at = counters + <usize>operation * 40;
  store<u64>(at, load<u64>(at, CALLS) + calls, CALLS);
  store<u64>(at, load<u64>(at, ROWS) + <u64>rows, ROWS);
  store<u64>(at, load<u64>(at, ELEMENTS) + elements, ELEMENTS);
  store<u64>(at, load<u64>(at, BYTES) + bytes + calls * callBytes, BYTES);
  if (timed) addTime(operation, now() - start);
}

/** @param durationMs - of a call, or of a step of a program with its barrier */
export function addTime(operation: i32, durationMs: f64): void {
  const at = counters + <usize>operation * 40;
  store<f64>(at, load<f64>(at, NANOSECONDS) + durationMs * 1e6, NANOSECONDS);
}
