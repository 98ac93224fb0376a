// Runs the conformance suite of the kernels in the Node that runs this, in every variant and with 1, 2 and 3 threads; with the
// argument `revectorize`, that of the relaxed ones with 1 and 2 threads under V8's revectorizer, a flag of the whole process, and
// with the ternary products that are made for it, whether or not they are the faster ones here.
// Writes one line of JSON: the version of Node, the flags that were set for its V8, and how many values were compared in each.
// Throws at the first difference.
import { KERNEL_VARIANTS, loadKernels, v8FlagsSet, type WasmKernels } from '@bittern/kernels';
import { conformanceCases, type KernelsUnderTest } from '@bittern/kernels/conformance';

const revectorize = process.argv[2] === 'revectorize';
const compared: Record<string, number> = {};
for (const variant of revectorize ? (['relaxed'] as const) : KERNEL_VARIANTS) {
  for (const threads of revectorize ? [1, 2] : [1, 2, 3]) {
    const kernels = await loadKernels({ variant, threads, revectorize });
    const tested: KernelsUnderTest = revectorize ? withWideProducts(kernels) : kernels;
    let values = 0;
    for (const testCase of conformanceCases()) values += testCase.run(tested);
    kernels.dispose();
    compared[`${variant}, ${threads}`] = values;
  }
}
process.stdout.write(`${JSON.stringify({ version: process.version, flags: v8FlagsSet(), compared })}\n`);

function withWideProducts(kernels: WasmKernels): KernelsUnderTest {
  type WideProducts = { readonly [P in 'i2sGemv' | 'i2sGemm' as `${P}Wide`]: WasmKernels[P] };
  const { i2sGemvWide, i2sGemmWide } = kernels as WasmKernels & WideProducts;
  return Object.create(kernels, { i2sGemv: { value: i2sGemvWide }, i2sGemm: { value: i2sGemmWide } });
}
