// Runs the conformance suite of the kernels in the Node that runs this, in every variant and with 1, 2 and 3 threads.
// Writes one line of JSON: the version of Node, and how many values were compared in each. Throws at the first difference.
import { KERNEL_VARIANTS, loadKernels } from '@bittern/kernels';
import { conformanceCases } from '@bittern/kernels/conformance';

const compared: Record<string, number> = {};
for (const variant of KERNEL_VARIANTS) {
  for (const threads of [1, 2, 3]) {
    const kernels = await loadKernels({ variant, threads });
    let values = 0;
    for (const testCase of conformanceCases()) values += testCase.run(kernels);
    kernels.dispose();
    compared[`${variant}, ${threads}`] = values;
  }
}
process.stdout.write(`${JSON.stringify({ version: process.version, compared })}\n`);
