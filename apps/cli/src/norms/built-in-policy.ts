import type { Policy, Rule } from './policy.ts';

/**
 * Limits for BitNet norms, as wide as what is known demands. The gates of the system that we replace called trained
 * norms damaged, and "repaired" them; a limit here must never refuse a sound model.
 *
 * - attn_norm: RMS 0.01 to 0.02 in microsoft/bitnet-b1.58-2B-4T, and those are the trained values; 0.80 to 0.98 in
 *   storyteller (of November 2026). Half the lowest, and twice the 2 that those gates allowed.
 * - ffn_norm: those gates allowed 0.5 to 2 for the same model; storyteller has 1.00 to 1.04. Ten times wider.
 * - attn_sub_norm, ffn_sub_norm, output_norm: never checked there, and no figures of a large model are published;
 *   storyteller has 0.51 to 1.20. Bytes that are no norm (another type, a wrong place) are seldom within these.
 */
function bitnetNorms(types: readonly string[]): Rule[] {
  return [
    { pattern: '*attn_norm.weight', types, limits: { rms: { min: 0.005, max: 4 } } },
    { pattern: '*ffn_norm.weight', types, limits: { rms: { min: 0.05, max: 20 } } },
    { pattern: '*', types, limits: { rms: { min: 0.001, max: 1000 } } },
  ];
}

/** `--gate auto`. */
export const builtInPolicy: Policy = {
  version: 1,
  ruleSets: [
    {
      name: 'bitnet-b1.58:i2_s',
      reason: 'a BitNet model in I2_S, TL1 or TL2: norms in F32, every projection with one scale above 0',
      architectures: ['bitnet*', '*b1.58*'],
      // llama_ftype of bitnet.cpp: TL1, TL2, I2_S
      fileTypes: [38, 39, 40],
      norms: bitnetNorms(['F32']),
      // bitnet.cpp writes a mean or maximum of absolute values; storyteller has 0.077 to 0.17.
      projections: [{ pattern: '*', limits: { scale: { min: 1e-6, max: 1e6 } } }],
    },
    {
      name: 'bitnet-b1.58',
      reason: 'a BitNet model in another type, or in one that the file does not name',
      architectures: ['bitnet*', '*b1.58*'],
      norms: bitnetNorms(['F32', 'F16', 'BF16']),
      projections: [{ pattern: '*' }],
    },
    {
      name: 'generic',
      // Gemma's norms are in the tens, 2B4T's attn_norm near 0.01.
      reason: 'no range holds for every model, so only what is never right: norms that are quantized, or all zero',
      norms: [
        { pattern: '*.bias', types: ['F32', 'F16', 'BF16'] },
        { pattern: '*', types: ['F32', 'F16', 'BF16'], limits: { rms: { min: 1e-6 } } },
      ],
      projections: [{ pattern: '*' }],
    },
  ],
};
