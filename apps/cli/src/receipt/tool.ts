import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { KERNEL_VARIANTS, kernelBinary, type KernelVariant } from '@bittern/kernels';
import type { ReceiptKernels, ReceiptTool } from '@bittern/receipts';
import { sha256 } from '@bittern/crossval';
import { VERSION } from '../version.ts';

/** This program, and the commit of the repository that it lies in. */
export async function receiptTool(): Promise<ReceiptTool> {
  const tool = { name: 'bittern', version: VERSION };
  try {
    // In a repository that does not track us, such as one of a user who installed us, this fails.
    await git('ls-files', '--error-unmatch', 'package.json');
    const commit = (await git('rev-parse', 'HEAD')).trim();
    const changes = await git('status', '--porcelain', '--untracked-files=no', ':/');
    return { ...tool, commit, modified: changes !== '' };
  } catch {
    return { ...tool, commit: null, modified: null }; // no git, or no repository
  }
}

async function git(...args: string[]): Promise<string> {
  const folder = fileURLToPath(new URL('..', import.meta.url));
  return (await promisify(execFile)('git', ['-C', folder, ...args])).stdout;
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
