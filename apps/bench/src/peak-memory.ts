import { readFileSync } from 'node:fs';

/**
 * The most memory that this process has had in RAM at once, in bytes.
 *
 * On Linux from /proc: `maxRSS` of a child is never below what its parent had when it started the child.
 */
export function peakMemoryBytes(): number {
  if (process.platform !== 'linux') return 1024 * process.resourceUsage().maxRSS;
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return 1024 * Number(kilobytes);
}
