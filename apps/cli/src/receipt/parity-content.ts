import type { LadderReport } from '@bittern/crossval';
import type { Numerics } from '@bittern/engine';
import type { KernelVariant } from '@bittern/kernels';
import type { ParityContent } from '@bittern/receipts';
import type { OurModel } from '../crossval/reference.ts';
import type { Io } from '../io.ts';
import { receiptTokenizer } from './content.ts';
import { receiptHost } from './machine.ts';
import { receiptFiles } from './model-identity.ts';
import { receiptParity } from './parity.ts';
import { binaryOf, receiptTool } from './tool.ts';

/** A ladder that was climbed, and what our side ran on. */
export interface ComparedRun {
  readonly report: LadderReport;
  readonly numerics: Numerics;
  readonly kernels: { readonly variant: KernelVariant; readonly threads: number };
}

/** What was found as a receipt has it. Our side ran on the same kernels in all of them. */
export async function parityContent(
  { file, tokenizer }: OurModel,
  runs: readonly ComparedRun[],
  io: Io,
): Promise<ParityContent> {
  const { variant, threads } = runs[0]!.kernels;
  return {
    created: new Date().toISOString(),
    tool: receiptTool(),
    host: receiptHost(),
    model: { files: await receiptFiles(file, io) },
    tokenizer: receiptTokenizer(tokenizer),
    kernels: { variant, threads, ...(await binaryOf(variant, threads)) },
    comparisons: runs.map(({ report, numerics }) => ({
      numerics,
      prompts: report.cases.map(({ mode, ids }) => ({ mode, ids })),
      ...receiptParity(report),
    })),
  };
}
