import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { KERNEL_VARIANTS, kernelBinary, type KernelVariant } from '@bittern/kernels';
import type { ReceiptKernels, ReceiptTool } from '@bittern/receipts';
import { sha256 } from '@bittern/crossval';
import { VERSION } from '../version.ts';

/** Put in by the build (tsup.config.ts): null outside of a repository, and not there where sources run as they are. */
declare const BUILT_FROM: { readonly commit: string; readonly modified: boolean } | null;

/** This program, and the commit of the repository that it was built from. */
export function receiptTool(): ReceiptTool {
  const { commit = null, modified = null } = (typeof BUILT_FROM === 'undefined' ? null : BUILT_FROM) ?? {};
  return { name: 'bittern', version: VERSION, commit, modified };
}

type Binary = Pick<ReceiptKernels, 'binary' | 'sha256'>;

/** The WebAssembly file of these kernels. */
export async function binaryOf(variant: KernelVariant, threads: number): Promise<Binary> {
  const path = fileURLToPath(kernelBinary(variant, threads));
  return { binary: basename(path), sha256: await sha256(await readFile(path)) };
}

/** Digests of all that can run here, by name. */
export async function ownBinaries(): Promise<Record<string, string>> {
  const all = await Promise.all(KERNEL_VARIANTS.flatMap((variant) => [1, 2].map((count) => binaryOf(variant, count))));
  return Object.fromEntries(all.map(({ binary, sha256: digest }) => [binary, digest]));
}
