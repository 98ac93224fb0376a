import type { TokenizerCore } from './core.ts';

/**
 * SHA-256 over the JSON, in UTF-8, of what the ids of a text depend on:
 *
 * `["bittern-tokenizer-1", model, pre-tokenizer, BOS if added or null, EOS if added or null, rules, tokens, types,
 * takes]`
 *
 * with rules as merges in order and ignore_merges (gpt2), scores and the space prefix (llama) or what tokenizer.json
 * says beyond these; tokens by id, types as runs [type, count], and of added tokens that take whitespace or want to be
 * alone [id, lstrip, rstrip, single word]. So a GGUF file and a tokenizer.json with the same
 * vocabulary, merges and named pre-tokenizer have the same digest. It does not cover what ids do not depend on:
 * padding, the chat template, EOS that is not added. Nor does it tell apart two implementations of a pre-tokenizer of
 * the same name; the README lists where llama.cpp's and Hugging Face's differ.
 */
export async function digestOf(core: TokenizerCore): Promise<string> {
  const runs: [number, number][] = [];
  for (const type of core.types) {
    const last = runs.at(-1);
    if (last?.[0] === type) last[1]++;
    else runs.push([type, 1]);
  }
  const takes = core.addedTokens
    .filter(({ lstrip, rstrip, singleWord }) => lstrip || rstrip || singleWord)
    .map(({ id, lstrip, rstrip, singleWord }) => [id, lstrip === true, rstrip === true, singleWord === true]);
  const canonical = JSON.stringify([
    'bittern-tokenizer-1',
    core.model,
    core.pre,
    core.addBos ? core.bosId : null,
    core.addEos ? core.eosId : null,
    core.rules(),
    core.tokens,
    runs,
    takes,
  ]);
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(canonical));
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
