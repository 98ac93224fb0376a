// What a receipt holds. schema/receipt-v1.schema.json says the same with all limits, and is what decides.

export const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
export const PREDICATE_TYPE = 'urn:bittern:receipt:v1';

/** An in-toto Statement v1 about the files and kernels that ran. */
export interface ReceiptStatement {
  readonly _type: typeof STATEMENT_TYPE;
  readonly subject: readonly ReceiptSubject[];
  readonly predicateType: typeof PREDICATE_TYPE;
  readonly predicate: ReceiptPredicate;
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
  readonly tokenizer: {
    readonly name: string;
    readonly sha256: string;
    readonly model: string;
    readonly pre: string;
  };
  readonly numerics: 'avx2' | 'avx512';
  /** Where the run says that it computed; the verifier looks at the kernels. */
  readonly device: 'cpu' | 'gpu';
  readonly kernels: ReceiptKernels;
  readonly head: { readonly kind: 'exact' | 'screened'; readonly topK: number | null };
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

export interface ReceiptTool {
  readonly name: string;
  readonly version: string;
  readonly commit: string | null;
  readonly modified: boolean | null;
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

export interface ReceiptModel {
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[];
  readonly architecture: 'bitnet' | 'bitnet-25' | 'bitnet-b1.58';
  readonly quantization: 'I2_S' | 'TL1';
  readonly layout: '128x32' | '64x16' | null;
  readonly tl1Kernel: 'transcode' | 'lut' | null;
  readonly dialect: 'ggml' | 'bitnet.cpp' | 'bitnet.cpp-2026';
  readonly config: ReceiptModelConfig;
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

/** What the machine can give to as many threads, one sample of each a run. */
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
