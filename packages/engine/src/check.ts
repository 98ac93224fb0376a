import type { GgufFile } from '@bittern/gguf-parser';
import { type ModelConfig, readConfig } from './config.ts';
import { EngineError, type ModelProblem, type ReportProblem } from './errors.ts';
import { refuseUnknownOptions, refuseUnlessOneOf } from './options.ts';
import { KV_TYPES, type KvType, type SessionBytes, sessionBytes } from './run-state.ts';
import { isMatrixType, layoutOf, type MatrixLayout, rowBytesOf } from './matrix-types.ts';
import { HEAD_KINDS, type HeadKind, screenBytes, screenedHeadBytes } from './screened-head.ts';
import { defaultTopK } from './top-logits.ts';
import {
  globalNeeds,
  HEAD_TENSOR,
  headNeed,
  layerNeeds,
  listOf,
  type TensorNeed,
  ternaryTypeOf,
  type TernaryType,
} from './tensor-needs.ts';
import { TL1_KERNELS, type Tl1Kernel, tl1ShapeOf, tl1TilingFault, type Tl1Tilings } from './tl1.ts';

/** Options of `loadModel`, and of sessions, on which it depends whether a file can run, and what that takes. */
export interface CheckModelOptions {
  readonly tl1Tiling?: Tl1Tilings;
  /** Default `transcode`. */
  readonly tl1Kernel?: Tl1Kernel;
  /** Default `exact`. With `screened` the session is a screened one, of the default `topK`. */
  readonly head?: HeadKind;
  /** Default `f16`. */
  readonly kvType?: KvType;
}

export interface ModelCheck {
  /** Every reason why the file cannot run, in the order in which they would be met; none: `loadModel` will read it. */
  readonly problems: readonly ModelProblem[];
  /** What deserves attention though the file can run. */
  readonly warnings: readonly string[];
  /** Undefined if a hyperparameter is missing, wrong or not supported. */
  readonly config: ModelConfig | undefined;
  /** What the weights and a session of the model's own context take, as they are allocated; as `config`. */
  readonly memory: MemoryBytes | undefined;
}

export interface MemoryBytes extends SessionBytes {
  readonly weights: number;
}

/**
 * Whether a file can run, from its header alone: `loadModel` refuses a file with the first of these problems. What only
 * the weights can show, a code that is none or a scale that is not finite, comes up while they are loaded.
 */
export function checkModel(gguf: GgufFile, options: CheckModelOptions = {}): ModelCheck {
  const { tl1Tiling = {}, tl1Kernel = 'transcode', head = 'exact', kvType = 'f16' } = options;
  refuseUnknownOptions(options, ['tl1Tiling', 'tl1Kernel', 'head', 'kvType']);
  refuseUnlessOneOf('tl1Kernel', tl1Kernel, TL1_KERNELS);
  refuseUnlessOneOf('head', head, HEAD_KINDS);
  refuseUnlessOneOf('kvType', kvType, KV_TYPES);
  const problems: ModelProblem[] = [];
  const report: ReportProblem = (problem) => void problems.push({ tensors: [], ...problem });
  if (gguf.byteOrder === 'big') {
    report({
      code: 'ENGINE_BIG_ENDIAN',
      message: 'The file is big-endian.',
      fix: 'Convert the model again on a little-endian machine.',
    });
  }
  const before = problems.length;
  const config = readConfig(gguf.metadata, gguf.tensors.get('token_embd.weight')?.shape[0], report);
  const isConfigSound = problems.length === before;
  if (config === undefined) return { problems, warnings: [], config, memory: undefined };

  const ternaryType = ternaryTypeOf(gguf);
  checkTensors(gguf, config, ternaryType, tl1Tiling, report);
  if (head === 'screened') checkScreen(gguf, config, report);
  const warnings =
    gguf.tensors.has(HEAD_TENSOR) && globalNeeds(config).output === undefined
      ? [`"${HEAD_TENSOR}" is ignored: as in bitnet.cpp, the token embedding is the output head.`]
      : [];
  if (!isConfigSound) return { problems, warnings, config: undefined, memory: undefined };
  return { problems, warnings, config, memory: memoryOf(gguf, config, ternaryType, { tl1Kernel, head, kvType }) };
}

/**
 * The check of {@link checkModel} as a condition.
 *
 * @throws {EngineError} the first problem
 */
export function requireRunnable(
  gguf: GgufFile,
  options: CheckModelOptions,
  onWarning: ((message: string) => void) | undefined,
): ModelConfig {
  const { problems, warnings, config } = checkModel(gguf, options);
  const [problem] = problems;
  if (problem !== undefined) throw new EngineError(problem.code, `${problem.message} ${problem.fix}`);
  for (const warning of warnings) onWarning?.(warning);
  return config!; // there is one where there is no problem
}

function checkTensors(
  gguf: GgufFile,
  config: ModelConfig,
  ternaryType: TernaryType,
  tl1Tiling: Tl1Tilings,
  report: ReportProblem,
): void {
  const { vocabSize, embeddingLength, feedForwardLength, headDim, headCountKv, blockCount } = config;
  const kvLength = headCountKv * headDim;
  // Without these the shapes that the graph needs are not known; what is wrong with them has been reported.
  if (![embeddingLength, feedForwardLength, kvLength, blockCount].every(Number.isSafeInteger)) return;

  const used = new Set([HEAD_TENSOR]);
  const tl1: TensorNeed[] = [];
  const check = (need: TensorNeed): void => {
    used.add(need.name);
    checkTensor(gguf, need, report);
    if (need.types.includes('TL1') && gguf.tensors.get(need.name)?.type === 'TL1') tl1.push(need);
  };
  const { outputNorm, ...others } = globalNeeds(config);
  if (!Number.isNaN(vocabSize)) for (const need of listOf(others)) check(need);
  let next = 0;
  for (const layer of layersOf(gguf, blockCount)) {
    if (layer > next) reportAbsentLayers(next, layer, config, report);
    for (const need of listOf(layerNeeds(config, ternaryType, layer))) check(need);
    next = layer + 1;
  }
  if (blockCount > next) reportAbsentLayers(next, blockCount, config, report);
  check(outputNorm);
  checkTilings(tl1, tl1Tiling, report);

  const unused = [...gguf.tensors.keys()].filter((name) => !used.has(name));
  if (unused.length === 0) return;
  const names = unused.slice(0, 5).map((name) => JSON.stringify(name));
  report({
    code: 'ENGINE_UNUSED_TENSOR',
    message: `The file holds ${unused.length} tensor(s) that this model's graph does not use: ${names.join(', ')}${unused.length > 5 ? ', …' : ''}.`,
    fix: 'Running without them could give wrong output; is it a different kind of model?',
    tensors: unused,
  });
}

/** The layers below `blockCount` of which the file has any tensor. At most as many as tensors, whatever `blockCount`. */
function layersOf(gguf: GgufFile, blockCount: number): number[] {
  const layers = new Set<number>();
  for (const name of gguf.tensors.keys()) {
    const [, layer] = /^blk\.(0|[1-9]\d*)\./.exec(name) ?? [];
    if (layer !== undefined && Number(layer) < blockCount) layers.add(Number(layer));
  }
  return [...layers].toSorted((a, b) => a - b);
}

/** Layers `from` to `to` - 1. One report for all: `blockCount` may be any number. */
function reportAbsentLayers(from: number, to: number, config: ModelConfig, report: ReportProblem): void {
  const name = `blk.${from}.attn_norm.weight`;
  const layers = to - from === 1 ? `layer ${from}` : `the ${to - from} layers ${from} to ${to - 1}`;
  report({
    code: 'ENGINE_MISSING_TENSOR',
    message: `Tensor "${name}" is missing, and with it all of ${layers}; block_count is ${config.blockCount}.`,
    fix: 'The file is incomplete; convert or download it again.',
    tensors: [name],
  });
}

function checkTensor(gguf: GgufFile, need: TensorNeed, report: ReportProblem): void {
  const { name, types, shape } = need;
  const tensor = gguf.tensors.get(name);
  if (tensor === undefined) {
    if (need.optional) return;
    report({
      code: 'ENGINE_MISSING_TENSOR',
      message: `Tensor "${name}" is missing.`,
      fix: 'The file is incomplete; convert or download it again.',
      tensors: [name],
    });
    return;
  }
  const isType = types.includes(tensor.type);
  const [rows, columns] = tensor.shape;
  if (!isType || tensor.shape.join() !== shape.join()) {
    report({
      code: 'ENGINE_TENSOR_MISMATCH',
      message: `Tensor "${name}" is ${tensor.type} [${tensor.shape.join(', ')}]; this model needs ${isType ? tensor.type : oneOf(types)} [${shape.join(', ')}].`,
      fix: isType ? 'The metadata is not that of the weights; convert the model again.' : typeFix(types),
      tensors: [name],
    });
  } else if (tensor.type === 'I2_S' && (rows! % 4 !== 0 || columns! % 128 !== 0)) {
    report({
      code: 'ENGINE_TENSOR_MISMATCH',
      message: `Tensor "${name}" is I2_S [${rows}, ${columns}]; rows must be a multiple of 4 and columns of 128.`,
      fix: 'Take a model of another shape.',
      tensors: [name],
    });
  }
}

function oneOf(names: readonly string[]): string {
  return names.length === 1 ? names[0]! : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}

function typeFix(types: readonly string[]): string {
  if (types.includes('I2_S') || types.includes('TL1')) {
    return "Ternary layers are all in I2_S, or all in TL1; quantize the model again, with bitnet.cpp's llama-quantize to I2_S.";
  }
  if (types.includes('F16')) {
    return "Quantize the model again, with bitnet.cpp's llama-quantize and --token-embedding-type f16.";
  }
  return 'Norms, biases and scales must stay in F32; convert the model again.';
}

/** @param matrices - those that the file has in TL1 */
function checkTilings(matrices: readonly TensorNeed[], tilings: Tl1Tilings, report: ReportProblem): void {
  const shapes = Map.groupBy(matrices, ({ shape }) => tl1ShapeOf(shape[0]!, shape[1]!));
  const missing = [...shapes].filter(([shape]) => !Object.hasOwn(tilings, shape));
  for (const [shape, needs] of shapes) {
    const tiling: unknown = tilings[shape];
    const [rows, columns] = needs[0]!.shape as [number, number];
    const fault = Object.hasOwn(tilings, shape) ? tl1TilingFault(tiling, rows, columns) : undefined;
    if (fault === undefined) continue;
    report({
      code: 'ENGINE_TL1_TILING',
      message: `The TL1 tiling of "${shape}" is ${JSON.stringify(tiling)?.slice(0, 80)}: ${fault}.`,
      fix: 'Give the numbers bm, bk and bmm of the include/kernel_config.ini with which the file was converted.',
      tensors: needs.map(({ name }) => name),
    });
  }
  if (missing.length === 0) return;
  const entries = missing.map(([shape]) => `"${shape}": [BM, BBK, bm]`);
  report({
    code: 'ENGINE_TL1_TILING',
    message: `The file has TL1 weights, whose layout depends on the include/kernel_config.ini with which it was converted and is not in the file. Missing tilings: { ${entries.join(', ')} }.`,
    fix: 'Give them: for each shape the numbers bm, bk and bmm of that ini.',
    tensors: missing.flatMap(([, needs]) => needs.map(({ name }) => name)),
  });
}

/** The int8 copy is made of an f16 head. One that is missing, or of a wrong type, has been reported. */
function checkScreen(gguf: GgufFile, config: ModelConfig, report: ReportProblem): void {
  const { name, types } = headNeed(config, gguf);
  const type = gguf.tensors.get(name)?.type;
  if (type === undefined || type === 'F16' || !types.includes(type)) return;
  report({
    code: 'ENGINE_NO_SCREEN',
    message: `The screened head wants an F16 head; "${name}", which is the head, is ${type}.`,
    fix: "Use head: 'exact'.",
    tensors: [name],
  });
}

function memoryOf(
  gguf: GgufFile,
  config: ModelConfig,
  ternaryType: TernaryType,
  { tl1Kernel, head, kvType }: Required<Omit<CheckModelOptions, 'tl1Tiling'>>,
): MemoryBytes {
  const layouts = new Set<MatrixLayout>();
  const sum = (needs: readonly TensorNeed[]): number => {
    let bytes = 0;
    for (const { name, types, shape, optional } of needs) {
      const tensor = gguf.tensors.get(name);
      if (tensor === undefined && optional) continue;
      // What is missing or of a wrong type has been reported; it counts as if it were there.
      const type = tensor !== undefined && types.includes(tensor.type) ? tensor.type : types[0]!;
      const isMatrix = shape.length === 2 && isMatrixType(type);
      const layout = isMatrix ? layoutOf(type, tl1Kernel) : 'F32';
      if (isMatrix) layouts.add(layout);
      const columns = shape.at(-1)!;
      bytes += shape.slice(0, -1).reduce((product, dim) => product * dim, rowBytesOf(layout, columns));
    }
    return bytes;
  };
  const present = layersOf(gguf, config.blockCount);
  const layers = present.map((layer) => sum(listOf(layerNeeds(config, ternaryType, layer))));
  const absent = config.blockCount - present.length;
  const layer = absent > 0 ? sum(listOf(layerNeeds(config, ternaryType, present.length))) : 0;
  const weights = layers.reduce((a, b) => a + b, sum(listOf(globalNeeds(config)))) + absent * layer;
  const screen = head === 'screened' ? screenBytes(config) : 0;
  const session = sessionBytes(config, { contextLength: config.contextLength, kvType }, layouts);
  const ownHead = head === 'screened' ? screenedHeadBytes(config, defaultTopK(config)) : 0;
  return { weights: weights + screen, ...session, activations: session.activations + ownHead };
}
