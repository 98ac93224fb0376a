import { open, writeFile } from 'node:fs/promises';
import type { ChatMessage } from '@bittern/tokenizer';
import { UnusableFileError, UsageError } from './errors.ts';
import type { Io } from './io.ts';
import { readTextFile } from './text-input.ts';

// A conversation as a file: { "version": 1, "messages": [{ "role": "user", "content": "…" }, …] }.

/** Longer than any context. */
const MOST_BYTES = 16 << 20;

/** Writes over a file of that name. */
export async function writeConversation(path: string, messages: readonly ChatMessage[]): Promise<void> {
  await writeFile(path, `${JSON.stringify({ version: 1, messages }, undefined, 2)}\n`);
}

/** @throws {UnusableFileError} for a file that is no conversation */
export async function readConversation(path: string, io: Io): Promise<ChatMessage[]> {
  await requireSmallFile(path);
  let document: unknown;
  try {
    document = JSON.parse(await readTextFile(path, io));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw damaged(path, `it is not JSON: ${error.message}`);
  }
  if (!isRecord(document) || document['version'] !== 1) throw damaged(path, 'it has no "version": 1');
  const { messages } = document;
  if (!Array.isArray(messages)) throw damaged(path, 'it has no list "messages"');
  return messages.map((message: unknown, index) => {
    const role: unknown = isRecord(message) ? message['role'] : undefined;
    const content: unknown = isRecord(message) ? message['content'] : undefined;
    if (typeof role !== 'string' || typeof content !== 'string' || !ROLES.has(role))
      throw damaged(path, `message ${index} has no "role" (${[...ROLES].join(', ')}) or no "content"`);
    return { role, content };
  });
}

const ROLES = new Set(['system', 'user', 'assistant']);

async function requireSmallFile(path: string): Promise<void> {
  await using file = await open(path);
  const stat = await file.stat();
  if (!stat.isFile()) throw new UsageError(`${path} is not a regular file; give one that /save wrote.`);
  if (stat.size > MOST_BYTES) throw damaged(path, `it has ${stat.size} bytes, more than ${MOST_BYTES}`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function damaged(path: string, why: string): UnusableFileError {
  return new UnusableFileError(path, new Error(`${why}. Give a file that /save wrote.`));
}
