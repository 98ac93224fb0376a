/** What differs between machines, runs or releases of others, and what a reader sees in its place. */
const RULES: readonly (readonly [pattern: RegExp, shown: string])[] = [
  [/\b\d+(?:\.\d+)? (?:ms|s)\b(?! *[-=/])/g, '<time>'],
  [/\b\d+(?:\.\d+)? tokens\/s/g, '<speed> tokens/s'],
  [/\b[\d.]+ GB of [\d.]+ GB available/g, '<size> of <size> available'],
  [/\b(?:relaxed|simd128) kernels(?=, (?:avx|sums))/g, '<variant> kernels'],
  [/\bi2s_(gemv|gemm)_[a-z0-9_]+/g, 'i2s_$1_<variant>'],
  [/\bof \d+ tried\b/g, 'of <count> tried'],
  [/\bNode v\d[\w.-]*, V8 [\w.-]+, \w+-\w+/g, 'Node <version>, V8 <version>, <platform>'],
  [/\b\d+ at once on .+/g, '<count> at once on <processor>'],
  [/\b\d+ started over/g, '<count> started over'],
  [/\bCPU (variant|backend) [a-z0-9]+/g, 'CPU $1 <cpu>'],
  [/\blargest error \S+ of the largest logit/g, 'largest error <number> of the largest logit'],
  [/^( *system: ).+/gm, '$1<features of the processor>'],
  [/^( *glibc: needs \S+ here is ).+/gm, '$1<version>'],
];

/** @param paths - folders of this run, and what a reader sees in their place; the longest first */
export function normalize(output: string, paths: readonly (readonly [path: string, shown: string])[]): string {
  let text = output;
  for (const [path, shown] of paths) text = text.replaceAll(path, shown);
  for (const [pattern, shown] of RULES) text = text.replace(pattern, shown);
  return text.replace(/[ \t]+$/gm, '').replace(/\n+$/, '');
}
