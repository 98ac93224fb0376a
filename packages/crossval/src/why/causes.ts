/** What may be wrong. */
export type CauseId =
  | 'nondeterminism'
  | 'embedding-rows'
  | 'embedding-dtype'
  | 'i2s-layout'
  | 'tensor-scale'
  | 'swapped-tensors'
  | 'weight-values'
  | 'activation-quantization'
  | 'fused-rounding'
  | 'norm-epsilon'
  | 'norm-gamma'
  | 'rope-base'
  | 'rope-scale'
  | 'rope-position'
  | 'rope-pairing'
  | 'rope-missing'
  | 'causal-mask'
  | 'kv-cells'
  | 'kv-cell-offset'
  | 'kv-stale-cell'
  | 'kv-update'
  | 'gqa-mapping'
  | 'softmax-scale'
  | 'activation-function'
  | 'f16-rounding'
  | 'float-order'
  | 'residual-add'
  | 'tied-head'
  | 'logit-scale'
  | 'vocabulary-offset'
  | 'vocabulary-size'
  | 'exchanged-rows'
  | 'sampling-tie'
  | 'sampler'
  | 'architecture'
  | 'not-finite'
  | 'missing-bos'
  | 'doubled-bos'
  | 'trailing-eos'
  | 'special-tokens'
  | 'template-residue'
  | 'pre-tokenizer';

/** A probable cause, with what was measured. */
export interface Cause {
  readonly id: CauseId;
  readonly title: string;
  /** 0..1: how well the evidence fits. An order, not a frequency. */
  readonly strength: number;
  /** What was measured, for people. */
  readonly evidence: readonly string[];
  /** What would confirm it. */
  readonly confirm: string;
}

/** What a cause needs to be named. */
export interface CauseDescription {
  readonly title: string;
  /** The evidence that speaks for it. */
  readonly needs: string;
  /** `MODEL` is our model's file. */
  readonly confirm: string;
}

const inspectTensor = 'bittern inspect MODEL --tensors "TENSOR" --ln-stats';
const onlyTokens = 'bittern tokenize -m MODEL -p TEXT --explain';

/** The table of causes. It takes the place of the parity playbook's troubleshooting text. */
export const CAUSES: Readonly<Record<CauseId, CauseDescription>> = {
  nondeterminism: {
    title: 'a side does not compute the same twice',
    needs: 'two runs of one side on the same ids differ in a bit',
    confirm: 'bittern trace record twice, then bittern trace-diff: the two must be equal',
  },
  'embedding-rows': {
    title: 'rows of token_embd.weight are wrong or exchanged',
    needs: 'inp_embd differs for some ids only, or wholly for all; or only some columns of the logits differ',
    confirm: 'bittern inspect MODEL --tensors "token_embd.weight" on both files',
  },
  'embedding-dtype': {
    title: 'the embedding was read in, or rounded to, another type',
    needs: 'every row of inp_embd is near the reference, within the precision of f16 or bf16, or a constant multiple',
    confirm: 'bittern inspect MODEL --tensors "token_embd.weight": compare the types',
  },
  'i2s-layout': {
    title: 'I2_S weights are read in another layout than they were packed',
    needs: 'all ternary products are wrong on equal inputs, with little or no likeness',
    confirm: 'bittern crossval -m MODEL --layout 64x16 (or 128x32)',
  },
  'tensor-scale': {
    title: 'the scale of one tensor differs',
    needs: 'one ternary product is the reference times a constant, on equal inputs',
    confirm: inspectTensor,
  },
  'swapped-tensors': {
    title: 'two tensors of one shape are exchanged',
    needs:
      "one product equals the reference's product of another tensor; or two tensors of one shape are wrong on equal inputs",
    confirm: 'bittern inspect MODEL --tensors "blk.*" --json on both files: compare names and offsets',
  },
  'weight-values': {
    title: 'weights of one tensor differ',
    needs: 'one ternary product differs on equal inputs in some outputs, by no constant factor',
    confirm: inspectTensor,
  },
  'activation-quantization': {
    title: 'activations are quantized in another way (rounding, scale or floor)',
    needs: 'all ternary products differ on equal inputs, and remain near',
    confirm: 'bittern crossval --per-op: only matrix products are inexact',
  },
  'fused-rounding': {
    title: 'a compiler fused the rounding of activations, as GCC does and Clang does not',
    needs:
      'a ternary product differs on equal inputs, only in rows with an activation whose tie is made by its rounding to f32',
    confirm: 'bittern preflight --backend bitnet --verbose: which compiler built it',
  },
  'norm-epsilon': {
    title: 'the epsilon of the norm, or its kind, differs',
    needs: 'a normalized row is the reference times one factor for the whole row',
    confirm: 'bittern inspect MODEL --kv "*layer_norm_rms_epsilon"',
  },
  'norm-gamma': {
    title: 'the weight (gamma) of a norm differs',
    needs: 'the normalized values are equal and their products with the weight are not, by one factor for each column',
    confirm: inspectTensor,
  },
  'rope-base': {
    title: 'the frequency base of RoPE differs',
    needs: 'rotation angles differ by a factor that grows with the pair, and not for the first pair',
    confirm: 'bittern inspect MODEL --kv "*rope*"',
  },
  'rope-scale': {
    title: 'RoPE positions are scaled',
    needs: 'all rotation angles differ by one factor',
    confirm: 'bittern inspect MODEL --kv "*rope*"',
  },
  'rope-position': {
    title: 'RoPE is applied at another position',
    needs: 'rotation angles are those of a position some places away',
    confirm: 'bittern crossval --ladder positions --positions 2',
  },
  'rope-pairing': {
    title: 'RoPE rotates other pairs (NORM against NEOX)',
    needs: 'lengths are kept for pairs of neighbours, not for the reference’s pairs',
    confirm: 'bittern crossval --per-op: only RoPE is inexact',
  },
  'rope-missing': {
    title: 'RoPE is not applied',
    needs: 'the rotated values are the unrotated ones',
    confirm: 'bittern crossval --per-op: only RoPE is inexact',
  },
  'causal-mask': {
    title: 'the causal mask is missing or wrong',
    needs:
      'attention gives weight to a later position, or none where the reference gives some and the score rules out underflow',
    confirm: 'bittern crossval --ladder masks',
  },
  'kv-cells': {
    title: 'the number of key/value cells that attention reads differs',
    needs: 'scores have another number of cells',
    confirm: 'bittern crossval --ladder shapes',
  },
  'kv-cell-offset': {
    title: 'the key/value cache is off by some cells',
    needs: 'scores are those of a neighbouring cell',
    confirm: 'bittern crossval --ladder positions --positions 3',
  },
  'kv-stale-cell': {
    title: 'a cell of the key/value cache is stale or was not written',
    needs: 'scores or sums are wrong for some cells only, for all later positions',
    confirm: 'bittern crossval --bisect: prompts just shorter and longer than the position named',
  },
  'kv-update': {
    title: 'the key/value cache is not updated while decoding',
    needs: 'the prompt agrees, the first generated row that needs a new cell does not',
    confirm: 'bittern crossval --ladder decode --max-tokens 2',
  },
  'gqa-mapping': {
    title: 'query heads read other key/value heads',
    needs: 'scores of a query head are those with another key head',
    confirm: 'bittern inspect MODEL --kv "*head_count*"',
  },
  'softmax-scale': {
    title: 'scores are scaled by another factor before softmax',
    needs: 'logarithms of the probabilities are the reference’s times a constant',
    confirm: 'bittern crossval --per-op: softmax is the first inexact operation',
  },
  'activation-function': {
    title: 'another activation function',
    needs: 'the result is that of another function of the same gate; or the operation is another one',
    confirm: 'bittern inspect MODEL: compare the architectures',
  },
  'f16-rounding': {
    title: 'a value is not rounded to f16, or in another way',
    needs: 'scores, sums of values or logits differ by about the precision of f16, on equal inputs',
    confirm: 'bittern crossval --mode sequential and --mode batch-all: the head rounds one row only',
  },
  'float-order': {
    title: 'float operations run in another order',
    needs: 'a float result differs by some ulp on equal inputs',
    confirm: 'bittern crossval --numerics avx2 (or avx512): the build that the reference is',
  },
  'residual-add': {
    title: 'the residual sum is wrong or missing',
    needs: 'a sum differs though both terms are equal',
    confirm: 'bittern crossval --per-op: only residual sums are inexact',
  },
  'tied-head': {
    title: 'the output head uses other weights than the embedding',
    needs: 'the logits are wrong though the last norm is equal',
    confirm: 'bittern inspect MODEL --tensors "output*": a head of its own is ignored by bitnet.cpp',
  },
  'logit-scale': {
    title: 'logits are scaled by a constant',
    needs: 'a row of logits is the reference times a constant',
    confirm: 'bittern crossval --ladder first-logit --cos-tol 0.9999 --metrics cos: the cosine is 1',
  },
  'vocabulary-offset': {
    title: 'ids of the vocabulary are shifted by a constant',
    needs: 'logits are those of an id some places away, or ids differ by a constant',
    confirm: 'bittern inspect MODEL --kv "*vocab*"',
  },
  'vocabulary-size': {
    title: 'the vocabularies have different sizes',
    needs: 'rows of logits have different lengths',
    confirm: 'bittern inspect MODEL --kv "*vocab*"',
  },
  'exchanged-rows': {
    title: 'logits were changed or exchanged after the last operation',
    needs: 'every traced operation is equal, the rows of logits are not',
    confirm: 'bittern crossval --ladder positions --positions all',
  },
  'sampling-tie': {
    title: 'a tie of the largest logits is broken in another way',
    needs: 'equal rows, different ids, and no gap between the two largest logits',
    confirm: 'bittern logits -m MODEL -p TEXT: the first two logits are equal; the lower id wins',
  },
  sampler: {
    title: 'the sampler is not greedy',
    needs: 'equal rows and different ids, though one logit is the largest; or an id that is not the largest of its row',
    confirm: 'bittern crossval --ladder decode, with temperature 0 on the other side',
  },
  architecture: {
    title: 'other hyperparameters or another architecture',
    needs: 'operations or their shapes differ',
    confirm: 'bittern inspect MODEL --kv',
  },
  'not-finite': {
    title: 'a value is NaN or infinite',
    needs: 'the first differing operation holds NaN or infinity',
    confirm: 'bittern compat-check MODEL',
  },
  'missing-bos': { title: 'one side adds no BOS', needs: 'ids are equal but for a leading BOS', confirm: onlyTokens },
  'doubled-bos': { title: 'one side adds BOS twice', needs: 'ids begin with the same id twice', confirm: onlyTokens },
  'trailing-eos': { title: 'one side adds EOS', needs: 'ids are equal but for the last', confirm: onlyTokens },
  'special-tokens': {
    title: 'special tokens in the text are parsed on one side only',
    needs: 'one side has a control token where the other spells its text',
    confirm: 'bittern tokenize -m MODEL -p TEXT --special, and without',
  },
  'template-residue': {
    title: 'a chat template was applied on one side only',
    needs: 'all ids of one side are a part of the other’s, with control tokens or role names around',
    confirm: 'bittern crossval --prompt-template raw',
  },
  'pre-tokenizer': {
    title: 'another pre-tokenizer, or another vocabulary',
    needs: 'the same text in other pieces',
    confirm: 'bittern tokenize -m MODEL -p TEXT --compare OTHER',
  },
};

/** What a rule found. */
export interface Finding {
  readonly id: CauseId;
  readonly strength: number;
  readonly evidence: string;
}

/**
 * The findings as causes, strongest first. Several findings for one cause are one, as strong as the strongest.
 *
 * @param names - what stands for MODEL and TENSOR in commands
 */
export function rankCauses(
  findings: readonly Finding[],
  names: { readonly model: string; readonly tensor?: string | undefined },
): Cause[] {
  const byId = new Map<CauseId, { strength: number; evidence: string[] }>();
  for (const { id, strength, evidence } of findings) {
    const cause = byId.get(id) ?? { strength: 0, evidence: [] };
    cause.strength = Math.max(cause.strength, strength);
    cause.evidence.push(evidence);
    byId.set(id, cause);
  }
  return [...byId]
    .map(([id, { strength, evidence }]): Cause => {
      const { title, confirm } = CAUSES[id];
      const command = confirm.replaceAll('MODEL', names.model).replaceAll('TENSOR', names.tensor ?? '*');
      return { id, title, strength, evidence, confirm: command };
    })
    .toSorted((a, b) => b.strength - a.strength);
}
