import { type Checked, fail, type Gate, notApplicable, type Outcome, pass } from '../gate.ts';

/** The kernels that ran are those that the verifier has. */
export const binaries: Gate = { name: 'binaries', check, checkParity: check };

function check({ predicate: { kernels, tool }, wanted }: Checked): Outcome {
  if (wanted.binaries === undefined) return notApplicable('no binaries were given to compare with');
  const { binary, variant, threads } = kernels;
  const expected = `${variant}${threads > 1 ? '-threads' : ''}.wasm`;
  if (binary !== expected)
    return fail(`${variant} kernels with ${threads} thread(s) are in ${expected}, not in ${binary}`);
  const known = Object.hasOwn(wanted.binaries, binary) ? wanted.binaries[binary] : undefined;
  if (known === undefined) return fail(`there is no ${binary} here to compare with`);
  if (known !== kernels.sha256) {
    return fail(
      `${binary} of this version has ${known}, and that of the receipt ${kernels.sha256}: other kernels. It was made by ${tool.name} ${tool.version}, commit ${tool.commit ?? 'unknown'}`,
    );
  }
  return pass(`${binary} is that of this version`);
}
