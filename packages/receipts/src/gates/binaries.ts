import { type Checked, fail, type Gate, notApplicable, type Outcome, pass } from '../gate.ts';
import { cut } from '../quoted.ts';

/** The kernels that ran are those that the verifier has. Those of another build are no forgery, unless the same are asked for. */
export const binaries: Gate = { name: 'binaries', check, checkParity: check };

function check({ predicate: { kernels, tool }, wanted }: Checked): Outcome {
  const { binary, variant, threads } = kernels;
  const expected = `${variant}${threads > 1 ? '-threads' : ''}.wasm`;
  if (binary !== expected)
    return fail(`${variant} kernels with ${threads} thread(s) are in ${expected}, not in ${cut(binary)}`);
  const others = wanted.requireSameBinaries ? fail : notApplicable;
  if (wanted.binaries === undefined) return others('no binaries were given to compare with');
  const known = Object.hasOwn(wanted.binaries, binary) ? wanted.binaries[binary] : undefined;
  if (known === kernels.sha256) return pass(`${binary} is that of this installation`);
  const maker = `${cut(tool.name)} ${cut(tool.version)}, commit ${tool.commit ?? 'unknown'}`;
  const here = known === undefined ? `there is no ${binary}` : `${binary} has ${known}`;
  return others(
    `made by other binaries than this installation's: here ${here}, that of the receipt has ${kernels.sha256}, of ${maker}`,
  );
}
