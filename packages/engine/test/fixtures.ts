import { readBytes } from './parity.ts';

const FIXTURES = new URL('../../../tools/fixtures/', import.meta.url);
const STORYTELLER = new URL('../../storyteller/', import.meta.url);

/** A model whose outputs were recorded from the reference itself, and how much was recorded. */
export interface Fixture {
  readonly name: string;
  readonly model: URL;
  readonly recording: URL;
  /** Pinned, so that a recording that lost some cannot pass. */
  readonly recorded: { readonly rows: number; readonly greedy: number; readonly nodes: number };
}

export const RECORDED: readonly Fixture[] = [
  {
    name: 'tiny-random',
    model: new URL('tiny-random/tiny-random.i2_s.gguf', FIXTURES),
    recording: new URL('tiny-random/recording/recording.json', FIXTURES),
    recorded: { rows: 730, greedy: 480, nodes: 648 },
  },
  {
    name: 'tiny-random-bitnet',
    model: new URL('tiny-random-bitnet/tiny-random-bitnet.i2_s.gguf', FIXTURES),
    recording: new URL('tiny-random-bitnet/recording/recording.json', FIXTURES),
    recorded: { rows: 730, greedy: 480, nodes: 624 },
  },
  {
    name: 'storyteller',
    model: new URL('model/storyteller.i2_s.gguf', STORYTELLER),
    recording: new URL('recording/recording.json', STORYTELLER),
    recorded: { rows: 640, greedy: 2304, nodes: 1060 },
  },
];

/** tiny-random: bitnet-b1.58, 4 layers, 4 query and 2 KV heads of 64, hidden 256, vocabulary 512, context 1024. */
export const TINY: Fixture = RECORDED[0]!;

export function tinyBytes(): Uint8Array<ArrayBuffer> {
  return readBytes(TINY.model);
}
