import { fail, type Gate, pass } from '../gate.ts';
import { MARGIN, machineLimits } from '../machine-limits.ts';

/** No thread of any processor that there is reads more: two loads of 64 bytes a cycle, at 8 GHz. */
const MOST_READ = 1024;
/** Nor computes more: two products of 64 values a cycle, at 8 GHz, in operations a nanosecond. */
const MOST_OPERATIONS = 2048;

/** More threads than that only wait for each other. */
const MOST_THREADS_PER_CORE = 4;
/** So much larger is a buffer at least that does not lie in the nearest cache. */
const LEAST_BUFFERS = 4;

/** What the machine can give was measured in this run, and can be. */
export const limits: Gate = {
  name: 'limits',
  check({ predicate }) {
    const { kernels, runs, host } = predicate;
    const { threads, reads, dots } = predicate.limits;
    if (threads !== kernels.threads)
      return fail(`they are of ${threads} thread(s), and the run had ${kernels.threads}`);
    if (!(threads <= MOST_THREADS_PER_CORE * host.cores))
      return fail(`${threads} threads on ${host.cores} core(s) are no run that measures them`);
    const uneven = [...reads, ...dots].find(({ ms }) => !(ms.length > 0 && ms.length % runs.length === 0));
    if (uneven)
      return fail(`one has ${uneven.ms.length} samples for ${runs.length} runs: they were not measured in turn`);
    for (const [index, { bufferBytes, bytes }] of reads.entries()) {
      if (!(bytes >= bufferBytes)) return fail(`of a buffer of ${bufferBytes} bytes only ${bytes} were read`);
      if (index > 0 && !(bufferBytes > reads[index - 1]!.bufferBytes))
        return fail('their buffers are not in order of size');
      if (!(bufferBytes <= host.memoryBytes))
        return fail(`a buffer of ${bufferBytes} bytes does not fit into ${host.memoryBytes} of memory`);
    }
    const [nearest, farthest] = [reads[0]!.bufferBytes, reads.at(-1)!.bufferBytes];
    if (!(farthest >= LEAST_BUFFERS * nearest))
      return fail(`a buffer of ${farthest} bytes is not much more than the one of ${nearest} from the nearest cache`);
    const machine = machineLimits(predicate.limits);
    const [cached, ...larger] = machine.reads;
    const impossible = larger.find(({ bytesPerNs }) => !(bytesPerNs <= MARGIN * cached!.bytesPerNs));
    if (impossible) {
      return fail(`a buffer of ${impossible.bufferBytes} bytes was read faster than one of ${cached!.bufferBytes}`);
    }
    if (!(cached!.bytesPerNs <= threads * MOST_READ))
      return fail(`no machine reads ${cached!.bytesPerNs} bytes a nanosecond`);
    if (!(machine.operationsPerNs <= threads * MOST_OPERATIONS)) {
      return fail(`no machine computes ${machine.operationsPerNs} operations a nanosecond`);
    }
    const read = machine.reads.map(
      ({ bufferBytes, bytesPerNs }) => `${figure(bytesPerNs)} GB/s from a buffer of ${bufferBytes / 2 ** 20} MiB`,
    );
    return pass(`${read.toReversed().join(', ')}, ${figure(machine.operationsPerNs)} GOPS`);
  },
};

function figure(value: number): string {
  return value.toPrecision(3);
}
