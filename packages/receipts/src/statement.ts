// What receipts hold. The schemas in schema/ say the same with all limits, and are what decides.

export const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
export const PREDICATE_TYPE = 'urn:bittern:receipt:v1';
export const PARITY_PREDICATE_TYPE = 'urn:bittern:parity:v1';

/** Of a benchmark: an in-toto Statement v1 about the files and kernels that ran. */
export interface ReceiptStatement {
  readonly _type: typeof STATEMENT_TYPE;
  readonly subject: readonly ReceiptSubject[];
  readonly predicateType: typeof PREDICATE_TYPE;
  readonly predicate: ReceiptPredicate;
}

/** Of a comparison with references: the same about what was compared. */
export interface ParityStatement {
  readonly _type: typeof STATEMENT_TYPE;
  readonly subject: readonly ReceiptSubject[];
  readonly predicateType: typeof PARITY_PREDICATE_TYPE;
  readonly predicate: ParityPredicate;
}

export interface ReceiptSubject {
  readonly name: string;
  readonly digest: { readonly sha256: string };
  readonly annotations: { readonly role: 'model' | 'tokenizer' | 'kernels' };
}

export interface ReceiptPredicate {
  readonly version: 1;
  /** SHA-256 of the canonical bytes of the statement without this field. */
  readonly digest: string;
  readonly created: string;
  readonly tool: ReceiptTool;
  readonly host: ReceiptHost;
  readonly model: ReceiptModel;
  readonly tokenizer: ReceiptTokenizer;
  readonly numerics: 'avx2' | 'avx512';
  /** Where the run says that it computed; the verifier looks at the kernels. */
  readonly device: 'cpu' | 'gpu';
  readonly kernels: ReceiptKernels;
  readonly head: { readonly kind: 'exact' | 'screened'; readonly topK: number | null };
  /** Of the cache of keys and values. */
  readonly kvType: 'f16' | 'f32';
  readonly sampling: { readonly method: 'greedy' };
  readonly request: { readonly tokens: number; readonly repeats: number; readonly warmup: number };
  readonly prompt: {
    readonly text: string;
    readonly sha256: string;
    readonly ids: readonly number[];
    readonly idsSha256: string;
  };
  readonly generated: {
    readonly ids: readonly number[];
    readonly idsSha256: string;
    /** Of the row of logits from which each id was chosen: f32, little-endian; of a screened head, ids as u32 before. */
    readonly logitsSha256: readonly string[];
  };
  readonly loadMs: number;
  readonly runs: readonly ReceiptRun[];
  /** Of all measured runs together; loading and warming up are not in it. */
  readonly counters: { readonly prefill: readonly ReceiptCounter[]; readonly decode: readonly ReceiptCounter[] };
  readonly limits: ReceiptLimits;
  readonly parity: ReceiptParity | null;
}

export interface ParityPredicate {
  readonly version: 1;
  /** As in {@link ReceiptPredicate}. */
  readonly digest: string;
  readonly created: string;
  readonly tool: ReceiptTool;
  readonly host: ReceiptHost;
  readonly model: { readonly files: readonly ReceiptFile[] };
  readonly tokenizer: ReceiptTokenizer;
  readonly kernels: Omit<ReceiptKernels, 'gemv' | 'gemm'>;
  /** One for each reference. */
  readonly comparisons: readonly ParityComparison[];
}

/** What the comparison with one reference found. */
export interface ParityComparison extends ReceiptParity {
  /** Of our engine. */
  readonly numerics: 'avx2' | 'avx512';
  /** What was evaluated on both sides. */
  readonly prompts: readonly {
    readonly mode: 'batch-all' | 'batch-last' | 'sequential';
    readonly tokens: number;
    readonly idsSha256: string;
  }[];
}

export interface ReceiptTool {
  readonly name: string;
  readonly version: string;
  readonly commit: string | null;
  readonly modified: boolean | null;
}

export interface ReceiptTokenizer {
  readonly name: string;
  readonly sha256: string;
  readonly model: string;
  readonly pre: string;
}

export interface ReceiptHost {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly simd: readonly string[];
  readonly os: string;
  readonly arch: string;
  readonly runtime: {
    readonly name: string;
    readonly version: string;
    readonly engine: string;
    readonly flags: readonly string[];
  };
}

/** Types of matrices, by their names in GGUF files. */
export type ReceiptWeightType = 'I2_S' | 'TL1' | 'F32' | 'F16' | 'BF16' | 'Q8_0' | 'Q4_0' | 'Q6_K' | 'TQ1_0' | 'TQ2_0';

export interface ReceiptModel {
  readonly files: readonly ReceiptFile[];
  readonly architecture: 'bitnet' | 'bitnet-25' | 'bitnet-b1.58' | 'llama';
  readonly weights: ReceiptWeights;
  /** How the file packs I2_S weights; null where it has none. */
  readonly layout: '128x32' | '64x16' | null;
  /** How TL1 weights are run; null where there are none. */
  readonly tl1Kernel: 'transcode' | 'lut' | null;
  readonly dialect: 'ggml' | 'bitnet.cpp' | 'bitnet.cpp-2026';
  readonly config: ReceiptModelConfig;
}

export interface ReceiptFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface ReceiptWeights {
  readonly embedding: ReceiptWeightType;
  /** Null where the head is the embedding again. */
  readonly head: ReceiptWeightType | null;
  /** In their order; those that follow each other and are alike are one item. */
  readonly layers: readonly ReceiptLayers[];
}

/** `count` layers with the same types of weights. */
export interface ReceiptLayers {
  readonly count: number;
  readonly attnQ: ReceiptLinear;
  readonly attnK: ReceiptLinear;
  readonly attnV: ReceiptLinear;
  readonly attnOutput: ReceiptLinear;
  readonly ffnGate: ReceiptLinear;
  readonly ffnUp: ReceiptLinear;
  readonly ffnDown: ReceiptLinear;
}

/** A matrix, and whether the file has a `.scale` and a `.bias` for its products. */
export interface ReceiptLinear {
  readonly type: ReceiptWeightType;
  readonly scale: boolean;
  readonly bias: boolean;
}

export interface ReceiptModelConfig {
  readonly vocabSize: number;
  readonly contextLength: number;
  readonly embeddingLength: number;
  readonly blockCount: number;
  readonly feedForwardLength: number;
  readonly headCount: number;
  readonly headCountKv: number;
  readonly headDim: number;
}

export interface ReceiptKernels {
  readonly variant: 'relaxed' | 'simd128';
  readonly threads: number;
  /** Ids of those that were chosen for ternary products with one row, and with several. */
  readonly gemv: string;
  readonly gemm: string;
  /** The WebAssembly file that ran, and its digest. */
  readonly binary: string;
  readonly sha256: string;
}

export interface ReceiptRun {
  readonly prefillMs: number;
  /** From the beginning until the first id is chosen. */
  readonly firstTokenMs: number;
  /** Of each evaluation of one id, and the choice of the next. */
  readonly decodeMs: readonly number[];
  /** From the beginning to the end. */
  readonly wallMs: number;
  readonly ids: readonly number[];
}

/** What one kernel did (docs/kernel-counters.md). */
export interface ReceiptCounter {
  readonly id: string;
  readonly calls: number;
  readonly rows: number;
  readonly elements: number;
  readonly bytes: number;
  readonly nanoseconds: number;
}

/** What the machine can give to as many threads, as many samples of each for every run; the fastest counts. */
export interface ReceiptLimits {
  readonly threads: number;
  /** Milliseconds for reading `bytes`, which lie in `bufferBytes`: the smaller these, the nearer the cache. */
  readonly reads: readonly { readonly bufferBytes: number; readonly bytes: number; readonly ms: readonly number[] }[];
  /** Milliseconds for int8 operations, products and sums. */
  readonly dots: readonly { readonly form: string; readonly operations: number; readonly ms: readonly number[] }[];
}

/** What a comparison with a reference found. */
export interface ReceiptParity {
  readonly reference: {
    readonly name: string;
    readonly version: string;
    readonly build: string | null;
    readonly numerics: 'avx2' | 'avx512' | null;
  };
  readonly modelSha256: string;
  readonly cases: number;
  readonly positionsByValue: number;
  readonly positionsByDigest: number;
  readonly decodeSteps: number;
  readonly differingValues: number;
  readonly maxAbs: number | null;
  readonly failures: readonly string[];
}
