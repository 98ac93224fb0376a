// The entry of the binaries with threads, which need a shared memory.
export * from './index';
export { fail, runProgram, serve, stop } from './team';
