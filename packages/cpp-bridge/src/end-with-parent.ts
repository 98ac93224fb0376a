import koffi from 'koffi';

const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;

/**
 * Asks Linux to end this process when its parent ends. Without it a child would compute on: within a call of the library
 * it does not see that the channel to the parent has closed.
 */
export function endWithParent(): void {
  if (process.platform !== 'linux') return;
  const parent = process.ppid;
  koffi.load(null).func('prctl', 'int', ['int', 'unsigned long'])(PR_SET_PDEATHSIG, SIGKILL);
  // It may have ended before the call.
  if (process.ppid !== parent) process.exit();
}
