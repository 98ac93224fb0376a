// The thread team: every thread runs the same program of kernel calls, each on rows of its own or, of a matrix, also on some
// that were left for whoever is free, with a barrier after every call. See src/team.ts, which writes programs, for the table
// of operations; a word is an i32 or an f32.
import {
  add, addToRows, attention, attentionF32, bf16Gemm, f16Gemm, f16Gemv, f16GemvUnscreened, f32Gemm, f32Gemv,
  i2sGemm, i2sGemmI16, i2sGemmWide, i2sGemv, i2sGemvI16, i2sGemvWide, multiplyBy, packScreen, q4_0Gemm, q6KGemm,
  q8_0Gemm, quantizeForScreen, quantizeRows, quantizeRowsQ8_0, quantizeRowsQ8K, quantizeRowsTl1,
  refineRows, reluSquaredGate, rescoreCandidates, rmsNorm, ropeNeox, ropeNorm, roundToBf16, roundToF16, screenRows,
  selectCandidates, selectLargest, siluGate, storeKeysValuesShare, storeKeysValuesF32Share, tl1Gemv, tq2_0Gemm, widenF16,
} from './counted';
import { addTime, callsAreTimed, clock, countCall, countFirstThread, timeCalls } from './counters';

// Shared words, by their byte offset from `team`; those that are written often have a cache line of their own.
const EPOCH: usize = 0; // counts programs
const STOP: usize = 4; // not 0: threads leave
const PROGRAM: usize = 8; // where the program begins
const PROGRAM_END: usize = 12;
const SCRATCH: usize = 16; // scratch of thread 0; the others' follow
const SCRATCH_BYTES: usize = 20; // of one thread
const FAILED: usize = 24; // not 0: a thread is lost, nobody waits any longer
const EPOCH_SLEEPERS: usize = 28;
const ARRIVED: usize = 64;
const GENERATION: usize = 128; // counts barriers
const BARRIER_SLEEPERS: usize = 192;
const TAKEN: usize = 256; // rows of this step's matrix that threads have taken

/**
 * For how many looks a thread waits before it sleeps. To sleep and be woken costs as much as several of the small operations
 * between two products, so where every thread has a core, it pays to look for longer than shares of a product differ, and for
 * longer than another takes to wake up: some hundred microseconds. Where threads wait for each other's core, each look delays
 * what is waited for.
 */
const MOST_LOOKS_AWAKE: i32 = 200_000;
const FEWEST_LOOKS_AWAKE: i32 = 4_000;
/** Between the two: this thread learns it from how its waits end. */
let looksAwake = MOST_LOOKS_AWAKE;

/**
 * Two threads that look but shortly can wait for each other's waking up at every barrier, and learn nothing else. So after
 * some waits that ended in sleep a thread tries a long look again; as long as that does not help, ever more rarely.
 */
const FEWEST_SLEEPS: i32 = 4;
const MOST_SLEEPS: i32 = 64;
let sleepsToTry = FEWEST_SLEEPS;
let sleeps: i32 = 0;

/**
 * A thread that does not arrive for a minute is lost: a share of one kernel call takes far less, the longest (attention
 * of 512 rows without relaxed SIMD) some seconds.
 */
const WAIT_NS: i64 = 100_000_000;
const MOST_WAITS: i64 = 600;

/** For a thread that may not sleep, and has no clock: some minutes. */
const MOST_LOOKS: i64 = 50_000_000_000;

/** Waits until the word at `address` is not `old`; false if the team has failed or a minute has passed. */
function awaitChange(team: usize, address: usize, old: i32, sleepers: usize, maySleep: bool, forever: bool): bool {
  for (let i = 0; i < looksAwake; i++) {
    if (atomic.load<i32>(address) == old) continue;
    looksAwake = min(MOST_LOOKS_AWAKE, 2 * looksAwake);
    if (i > FEWEST_LOOKS_AWAKE) sleepsToTry = FEWEST_SLEEPS;
    return true;
  }
  looksAwake = max(FEWEST_LOOKS_AWAKE, looksAwake >> 2);
  if (++sleeps >= sleepsToTry) {
    sleeps = 0;
    sleepsToTry = min(MOST_SLEEPS, 2 * sleepsToTry);
    looksAwake = MOST_LOOKS_AWAKE;
  }
  let waits: i64 = 0;
  const most = maySleep ? MOST_WAITS : MOST_LOOKS;
  atomic.add<i32>(sleepers, 1);
  while (atomic.load<i32>(address) == old) {
    if (atomic.load<i32>(team + FAILED) || (!forever && waits > most)) {
      atomic.sub<i32>(sleepers, 1);
      return false;
    }
    if (maySleep) {
      if (atomic.wait<i32>(address, old, WAIT_NS) == AtomicWaitResult.TIMED_OUT) waits++;
    } else waits++;
  }
  atomic.sub<i32>(sleepers, 1);
  return true;
}

function announce(address: usize, sleepers: usize): void {
  atomic.add<i32>(address, 1);
  if (atomic.load<i32>(sleepers)) atomic.notify(address, -1);
}

function barrier(team: usize, threads: i32, maySleep: bool): bool {
  const generation = atomic.load<i32>(team + GENERATION);
  if (atomic.add<i32>(team + ARRIVED, 1) + 1 < threads) {
    return awaitChange(team, team + GENERATION, generation, team + BARRIER_SLEEPERS, maySleep, false);
  }
  atomic.store<i32>(team + ARRIVED, 0);
  atomic.store<i32>(team + TAKEN, 0);
  announce(team + GENERATION, team + BARRIER_SLEEPERS);
  return true;
}

// @ts-ignore: decorator
@inline
function word(p: usize, index: i32): i32 {
  return load<i32>(p + (<usize>(index + 1) << 2));
}

// @ts-ignore: decorator
@inline
function address(p: usize, index: i32): usize {
  return <usize>word(p, index);
}

// @ts-ignore: decorator
@inline
function real(p: usize, index: i32): f32 {
  return load<f32>(p + (<usize>(index + 1) << 2));
}

/** Where the share of `thread` begins in [begin, end): shares differ by at most one `grain`, a multiple of which they are. */
function share(begin: i32, end: i32, grain: i32, thread: i32, threads: i32): i32 {
  const grains = (end - begin + grain - 1) / grain;
  return min(end, begin + <i32>(<i64>grains * thread / threads) * grain);
}

/** The fewest rows of a matrix that a thread takes at a time, beside its own: two tiles of `i2sGemmWide`. */
const FEWEST_ROWS: i32 = 12;

// What `take` has given this thread.
let takenBegin: i32 = 0;
let takenEnd: i32 = 0;
let tookOwn: bool = false; // its own rows of this step

/**
 * Takes rows of [begin, end) that no thread has taken yet, a multiple of `grain`; false if there are none. Threads are not
 * equally fast, if only because of other programs. So each has three quarters of its share to itself; of the others, whoever
 * is free takes some, fewer towards the end, and all finish together. What is taken is in `takenBegin` and `takenEnd`; of all
 * the kernel's calls only that for the first thread's own rows counts as one.
 */
function take(team: usize, begin: i32, end: i32, grain: i32, thread: i32, threads: i32): bool {
  const shared = threads == 1 ? end : begin + <i32>(<i64>(end - begin) * 3 / 4) / grain * grain; // from here on
  if (!tookOwn) {
    tookOwn = true;
    takenBegin = share(begin, shared, grain, thread, threads);
    takenEnd = share(begin, shared, grain, thread + 1, threads);
    return true;
  }
  countCall(false);
  for (;;) {
    const taken = atomic.load<i32>(team + TAKEN);
    const left = end - shared - taken;
    if (left <= 0) {
      countFirstThread();
      tookOwn = false;
      return false;
    }
    const rows = min(left, (max(FEWEST_ROWS, left / (2 * threads)) + grain - 1) / grain * grain);
    if (atomic.cmpxchg<i32>(team + TAKEN, taken, taken + rows) != taken) continue;
    takenBegin = shared + taken;
    takenEnd = takenBegin + rows;
    return true;
  }
}

/** One kernel call at `p`, this thread's part of it; returns where the next one is. */
function step(team: usize, p: usize, thread: i32, threads: i32, scratch: usize): usize {
  const operation = load<i32>(p);
  switch (operation) {
    case 0: {
      const begin = share(word(p, 1), word(p, 2), 1, thread, threads), end = share(word(p, 1), word(p, 2), 1, thread + 1, threads);
      quantizeRows(word(p, 0), begin, end, word(p, 3), word(p, 4), word(p, 5), word(p, 6));
      return p + 8 * 4;
    }
    case 1: {
      while (take(team, word(p, 1), word(p, 2), 2, thread, threads)) {
        i2sGemv(word(p, 0), takenBegin, takenEnd, word(p, 3), real(p, 4), word(p, 5), word(p, 6), word(p, 7), word(p, 8), scratch);
      }
      return p + 11 * 4;
    }
    case 2: {
      while (take(team, word(p, 1), word(p, 2), 4, thread, threads)) {
        i2sGemm(word(p, 0), takenBegin, takenEnd, word(p, 3), real(p, 4), word(p, 5), word(p, 6), word(p, 7), word(p, 8), word(p, 9), word(p, 10), scratch);
      }
      return p + 13 * 4;
    }
    case 3: {
      const begin = share(word(p, 2), word(p, 3), 1, thread, threads), end = share(word(p, 2), word(p, 3), 1, thread + 1, threads);
      rmsNorm(word(p, 0), word(p, 1), begin, end, word(p, 4), real(p, 5), word(p, 6), word(p, 7));
      return p + 9 * 4;
    }
    case 4: {
      const begin = share(word(p, 1), word(p, 2), 1, thread, threads), end = share(word(p, 1), word(p, 2), 1, thread + 1, threads);
      ropeNeox(word(p, 0), begin, end, word(p, 3), word(p, 4), word(p, 5), word(p, 6), word(p, 7));
      return p + 9 * 4;
    }
    case 5: {
      storeKeysValuesShare(thread, threads, word(p, 0), word(p, 1), word(p, 2), word(p, 3), word(p, 4), word(p, 5), word(p, 6), word(p, 7), word(p, 8));
      return p + 10 * 4;
    }
    case 6: {
      const begin = share(word(p, 1), word(p, 2), 1, thread, threads), end = share(word(p, 1), word(p, 2), 1, thread + 1, threads);
      attention(
        word(p, 0), begin, end, word(p, 3), word(p, 4), word(p, 5), word(p, 6), word(p, 7), word(p, 8), word(p, 9),
        word(p, 10), word(p, 11), real(p, 12), word(p, 13), word(p, 14), word(p, 15), word(p, 16), scratch,
      );
      return p + 19 * 4;
    }
    case 7: {
      while (take(team, word(p, 1), word(p, 2), 1, thread, threads)) {
        f16Gemv(word(p, 0), takenBegin, takenEnd, word(p, 3), word(p, 4), word(p, 5), word(p, 6), word(p, 7), scratch);
      }
      return p + 10 * 4;
    }
    case 8: {
      while (take(team, word(p, 1), word(p, 2), 1, thread, threads)) {
        f16Gemm(word(p, 0), takenBegin, takenEnd, word(p, 3), word(p, 4), word(p, 5), word(p, 6), word(p, 7), word(p, 8), word(p, 9), word(p, 10), scratch);
      }
      return p + 13 * 4;
    }
    case 9: {
      const begin = share(0, word(p, 1), 8, thread, threads), end = share(0, word(p, 1), 8, thread + 1, threads);
      widenF16(address(p, 0) + (<usize>begin << 1), end - begin, address(p, 2) + (<usize>begin << 2));
      return p + 4 * 4;
    }
    case 10: {
      const begin = share(0, word(p, 1), 8, thread, threads), end = share(0, word(p, 1), 8, thread + 1, threads);
      roundToF16(address(p, 0) + (<usize>begin << 2), end - begin, address(p, 2) + (<usize>begin << 2));
      return p + 4 * 4;
    }
    case 11: {
      const begin = share(0, word(p, 2), 8, thread, threads), end = share(0, word(p, 2), 8, thread + 1, threads);
      const at = <usize>begin << 2;
      add(address(p, 0) + at, address(p, 1) + at, end - begin, address(p, 3) + at);
      return p + 5 * 4;
    }
    case 12: {
      const begin = share(0, word(p, 2), 8, thread, threads), end = share(0, word(p, 2), 8, thread + 1, threads);
      const at = <usize>begin << 2;
      const relu = address(p, 4), squared = address(p, 5);
      reluSquaredGate(address(p, 0) + at, address(p, 1) + at, end - begin, address(p, 3) + at, relu ? relu + at : 0, squared ? squared + at : 0);
      return p + 7 * 4;
    }
    case 13: {
      const begin = share(0, word(p, 2), 8, thread, threads), end = share(0, word(p, 2), 8, thread + 1, threads);
      const at = <usize>begin << 2;
      const silu = address(p, 5);
      siluGate(address(p, 0) + at, address(p, 1) + at, end - begin, word(p, 3), address(p, 4) + at, silu ? silu + at : 0);
      return p + 7 * 4;
    }
    case 14: {
      while (take(team, word(p, 1), word(p, 2), 2, thread, threads)) {
        i2sGemvWide(word(p, 0), takenBegin, takenEnd, word(p, 3), real(p, 4), word(p, 5), word(p, 6), word(p, 7), word(p, 8), scratch);
      }
      return p + 11 * 4;
    }
    case 15: {
      while (take(team, word(p, 1), word(p, 2), 12, thread, threads)) {
        i2sGemmWide(word(p, 0), takenBegin, takenEnd, word(p, 3), real(p, 4), word(p, 5), word(p, 6), word(p, 7), word(p, 8), word(p, 9), word(p, 10), scratch);
      }
      return p + 13 * 4;
    }
    case 16: {
      const begin = share(word(p, 1), word(p, 2), 1, thread, threads), end = share(word(p, 1), word(p, 2), 1, thread + 1, threads);
      quantizeRowsTl1(word(p, 0), begin, end, word(p, 3), word(p, 4), word(p, 5), word(p, 6));
      return p + 8 * 4;
    }
    case 17: {
      // In one piece: each call makes look-up tables of the activations first.
      const begin = share(word(p, 1), word(p, 2), 32, thread, threads), end = share(word(p, 1), word(p, 2), 32, thread + 1, threads);
      tl1Gemv(word(p, 0), begin, end, word(p, 3), real(p, 4), word(p, 5), word(p, 6), word(p, 7), scratch);
      return p + 10 * 4;
    }
    case 18: {
      storeKeysValuesF32Share(thread, threads, word(p, 0), word(p, 1), word(p, 2), word(p, 3), word(p, 4), word(p, 5), word(p, 6), word(p, 7), word(p, 8));
      return p + 10 * 4;
    }
    case 19: {
      const begin = share(word(p, 1), word(p, 2), 1, thread, threads), end = share(word(p, 1), word(p, 2), 1, thread + 1, threads);
      attentionF32(
        word(p, 0), begin, end, word(p, 3), word(p, 4), word(p, 5), word(p, 6), word(p, 7), word(p, 8), word(p, 9),
        word(p, 10), word(p, 11), real(p, 12), word(p, 13), word(p, 14), word(p, 15), word(p, 16), scratch,
      );
      return p + 19 * 4;
    }
    case 20: {
      const begin = share(word(p, 1), word(p, 2), 1, thread, threads), end = share(word(p, 1), word(p, 2), 1, thread + 1, threads);
      packScreen(word(p, 0), begin, end, word(p, 3), word(p, 4), word(p, 5), word(p, 6), word(p, 7), word(p, 8), word(p, 9), scratch);
      return p + 12 * 4;
    }
    case 21: {
      if (thread == 0) quantizeForScreen(word(p, 0), word(p, 1), word(p, 2), word(p, 3));
      return p + 5 * 4;
    }
    case 22: {
      while (take(team, word(p, 1), word(p, 2), 4, thread, threads)) {
        screenRows(word(p, 0), takenBegin, takenEnd, word(p, 3), word(p, 4), word(p, 5), word(p, 6), word(p, 7), word(p, 8), word(p, 9), scratch);
      }
      return p + 12 * 4;
    }
    case 23: {
      if (thread == 0) selectCandidates(word(p, 0), word(p, 1), word(p, 2), word(p, 3), word(p, 4), word(p, 5));
      return p + 7 * 4;
    }
    case 24: {
      rescoreCandidates(word(p, 0), word(p, 1), word(p, 2), word(p, 3), word(p, 4), word(p, 5), word(p, 6), thread, threads, scratch);
      return p + 11 * 4;
    }
    case 25: {
      f16GemvUnscreened(word(p, 0), word(p, 1), word(p, 2), word(p, 3), word(p, 4), word(p, 5), word(p, 6), word(p, 7), thread, threads, scratch);
      return p + 12 * 4;
    }
    case 26: {
      while (take(team, word(p, 1), word(p, 2), 2, thread, threads)) {
        i2sGemvI16(word(p, 0), takenBegin, takenEnd, word(p, 3), real(p, 4), word(p, 5), word(p, 6), word(p, 7), word(p, 8), scratch);
      }
      return p + 11 * 4;
    }
    case 27: {
      while (take(team, word(p, 1), word(p, 2), 4, thread, threads)) {
        i2sGemmI16(word(p, 0), takenBegin, takenEnd, word(p, 3), real(p, 4), word(p, 5), word(p, 6), word(p, 7), word(p, 8), word(p, 9), word(p, 10), scratch);
      }
      return p + 13 * 4;
    }
    case 28: {
      if (thread == 0) selectLargest(word(p, 0), word(p, 1), word(p, 2), word(p, 3), word(p, 4));
      return p + 6 * 4;
    }
    case 29: {
      refineRows(
        word(p, 0), word(p, 1), word(p, 2), word(p, 3), word(p, 4), word(p, 5), word(p, 6), word(p, 7), word(p, 8), word(p, 9),
        word(p, 10), thread, threads, scratch,
      );
      return p + 15 * 4;
    }
    case 32: {
      const begin = share(word(p, 1), word(p, 2), 1, thread, threads), end = share(word(p, 1), word(p, 2), 1, thread + 1, threads);
      ropeNorm(word(p, 0), begin, end, word(p, 3), word(p, 4), word(p, 5), word(p, 6), word(p, 7));
      return p + 9 * 4;
    }
    case 33: {
      const begin = share(word(p, 1), word(p, 2), 1, thread, threads), end = share(word(p, 1), word(p, 2), 1, thread + 1, threads);
      addToRows(word(p, 0), begin, end, word(p, 3), word(p, 4));
      return p + 6 * 4;
    }
    case 34: {
      const begin = share(0, word(p, 1), 8, thread, threads), end = share(0, word(p, 1), 8, thread + 1, threads);
      multiplyBy(address(p, 0) + (<usize>begin << 2), end - begin, real(p, 2));
      return p + 4 * 4;
    }
    case 35: {
      const begin = share(word(p, 1), word(p, 2), 1, thread, threads), end = share(word(p, 1), word(p, 2), 1, thread + 1, threads);
      quantizeRowsQ8_0(word(p, 0), begin, end, word(p, 3), word(p, 4), word(p, 5));
      return p + 7 * 4;
    }
    case 36: {
      const begin = share(word(p, 1), word(p, 2), 1, thread, threads), end = share(word(p, 1), word(p, 2), 1, thread + 1, threads);
      quantizeRowsQ8K(word(p, 0), begin, end, word(p, 3), word(p, 4), word(p, 5), word(p, 6));
      return p + 8 * 4;
    }
    case 37: {
      const begin = share(0, word(p, 1), 8, thread, threads), end = share(0, word(p, 1), 8, thread + 1, threads);
      roundToBf16(address(p, 0) + (<usize>begin << 2), end - begin, address(p, 2) + (<usize>begin << 2));
      return p + 4 * 4;
    }
    case 38: {
      while (take(team, word(p, 1), word(p, 2), 4, thread, threads)) {
        f32Gemv(word(p, 0), takenBegin, takenEnd, word(p, 3), word(p, 4), word(p, 5), word(p, 6));
      }
      return p + 8 * 4;
    }
    case 39: {
      while (take(team, word(p, 1), word(p, 2), 4, thread, threads)) {
        f32Gemm(word(p, 0), takenBegin, takenEnd, word(p, 3), word(p, 4), word(p, 5), word(p, 6), word(p, 7), word(p, 8));
      }
      return p + 10 * 4;
    }
    case 40: {
      while (take(team, word(p, 1), word(p, 2), 4, thread, threads)) {
        bf16Gemm(word(p, 0), takenBegin, takenEnd, word(p, 3), word(p, 4), word(p, 5), word(p, 6), word(p, 7), word(p, 8));
      }
      return p + 10 * 4;
    }
    case 41: {
      while (take(team, word(p, 1), word(p, 2), 4, thread, threads)) {
        q8_0Gemm(word(p, 0), takenBegin, takenEnd, word(p, 3), word(p, 4), word(p, 5), word(p, 6), word(p, 7), word(p, 8));
      }
      return p + 10 * 4;
    }
    case 42: {
      while (take(team, word(p, 1), word(p, 2), 4, thread, threads)) {
        q4_0Gemm(word(p, 0), takenBegin, takenEnd, word(p, 3), word(p, 4), word(p, 5), word(p, 6), word(p, 7), word(p, 8));
      }
      return p + 10 * 4;
    }
    case 43: {
      while (take(team, word(p, 1), word(p, 2), 4, thread, threads)) {
        q6KGemm(word(p, 0), takenBegin, takenEnd, word(p, 3), word(p, 4), word(p, 5), word(p, 6), word(p, 7), word(p, 8));
      }
      return p + 10 * 4;
    }
    case 44: {
      while (take(team, word(p, 1), word(p, 2), 4, thread, threads)) {
        tq2_0Gemm(word(p, 0), takenBegin, takenEnd, word(p, 3), word(p, 4), word(p, 5), word(p, 6), word(p, 7), word(p, 8), word(p, 9));
      }
      return p + 11 * 4;
    }
    default:
      unreachable();
  }
  return 0;
}

/** @param timed - whether the time of each step is counted, from barrier to barrier */
function runShare(team: usize, thread: i32, threads: i32, maySleep: bool, timed: bool): bool {
  const end = <usize>load<i32>(team + PROGRAM_END);
  const scratch = <usize>load<i32>(team + SCRATCH) + <usize>thread * <usize>load<i32>(team + SCRATCH_BYTES);
  let start = timed ? clock() : 0;
  for (let p = <usize>load<i32>(team + PROGRAM); p < end; ) {
    const operation = load<i32>(p);
    p = step(team, p, thread, threads, scratch);
    if (!barrier(team, threads, maySleep)) return false;
    if (timed) {
      const now = clock();
      addTime(operation, now - start);
      start = now;
    }
  }
  return true;
}

/** Thread 0: runs the program with all threads. False if a thread is lost; the team is of no use then. */
export function runProgram(team: usize, threads: i32, maySleep: bool): bool {
  const timed = callsAreTimed();
  timeCalls(false); // but steps, with their barriers
  announce(team + EPOCH, team + EPOCH_SLEEPERS);
  const finished = runShare(team, 0, threads, maySleep, timed);
  timeCalls(timed);
  return finished;
}

/** The other threads: run programs as they come, until told to stop. `epoch` is that before the first program. */
export function serve(team: usize, thread: i32, threads: i32, epoch: i32): void {
  while (awaitChange(team, team + EPOCH, epoch, team + EPOCH_SLEEPERS, true, true)) {
    epoch++;
    if (atomic.load<i32>(team + STOP) || !runShare(team, thread, threads, true, false)) return;
  }
}

/** Any thread: tells the others that it cannot go on. */
export function fail(team: usize): void {
  atomic.store<i32>(team + FAILED, 1);
  atomic.notify(team + GENERATION, -1);
  atomic.notify(team + EPOCH, -1);
}

/** Thread 0: ends the other threads. */
export function stop(team: usize): void {
  atomic.store<i32>(team + STOP, 1);
  announce(team + EPOCH, team + EPOCH_SLEEPERS);
}
