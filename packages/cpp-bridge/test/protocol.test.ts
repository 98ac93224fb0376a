import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { BridgeError } from '../src/errors.ts';
import { AnswerReader, AnswerWriter, type ItemHeader, parseRequest, PART_LENGTH, type Reply } from '../src/protocol.ts';

const HEADERS: readonly ItemHeader[] = [
  { kind: 'node', name: 'Qcur-0', occurrence: 0, step: 0, op: 'MUL_MAT', shape: [2, 3] },
  { kind: 'node', name: 'Qcur-0', occurrence: 1, step: 0, op: 'ROPE', shape: [1, 2, 3] },
  { kind: 'node', name: 'result_output', occurrence: 0, step: 0, op: 'MUL_MAT', shape: [1, PART_LENGTH + 5] },
];

/** A whole answer as the child sends it, and what the parent must make of it. */
async function answer(): Promise<{ messages: Reply[]; items: { header: ItemHeader; values: Float32Array }[] }> {
  const messages: Reply[] = [];
  const items = HEADERS.map((header) => {
    const length = header.kind === 'node' ? header.shape.reduce((product, size) => product * size, 1) : 0;
    return { header, values: Float32Array.from({ length }, (_, index) => index / 3) };
  });
  const writer = new AnswerWriter('trace', 7, async (reply) => void messages.push(structuredClone(reply)));
  for (const { header, values } of items) await writer.item(header, values);
  await writer.done({ overwritten: 2 });
  return { messages, items };
}

function read(messages: readonly unknown[]): {
  result: unknown;
  items: { header: ItemHeader; values: Float32Array }[];
} {
  const items: { header: ItemHeader; values: Float32Array }[] = [];
  const reader = new AnswerReader(
    'trace',
    7,
    () => true,
    (item) => items.push(item),
  );
  let result: unknown;
  for (const message of messages) result = reader.take(message);
  return { result, items };
}

test('an answer arrives as it was sent', async () => {
  const { messages, items } = await answer();
  expect(messages.map(({ type }) => type).join(' ')).toBe('item part item part item part part done');
  expect(read(messages)).toEqual({ result: { overwritten: 2 }, items });
});

test('no proper part of an answer is an answer', async () => {
  const { messages } = await answer();
  for (let length = 0; length < messages.length; length++) {
    expect(read(messages.slice(0, length)).result).toBeUndefined();
  }
});

test('an answer with a message left out, doubled, exchanged or changed is refused', async () => {
  const { messages } = await answer();
  const last = messages.length - 1;
  const isWhole = (changed: readonly unknown[]): boolean => {
    try {
      return read(changed).result !== undefined;
    } catch (error) {
      if (error instanceof BridgeError && error.code === 'BRIDGE_BAD_MESSAGE') return false;
      throw error;
    }
  };
  for (const index of messages.keys()) {
    expect(isWhole(messages.toSpliced(index, 1))).toBe(false);
    expect(isWhole(messages.toSpliced(index, 0, messages[index]!))).toBe(false);
    for (const other of messages.keys()) {
      if (index === other) continue;
      const exchanged = messages.with(index, messages[other]!).with(other, messages[index]!);
      expect(isWhole(exchanged)).toBe(false);
    }
  }
  const changes: [number, object][] = [
    [0, { length: 5 }],
    [0, { header: { ...HEADERS[0], name: 'Kcur-0' } }],
    [0, { header: { ...HEADERS[0], shape: [3, 2] } }],
    [0, { header: { ...HEADERS[0], op: 'MUL' } }],
    [1, { values: new Float32Array(6) }],
    [1, { values: new Float32Array(5) }],
    [1, { values: [0, 1, 2, 3, 4, 5] }],
    [last, { items: 2 }],
    [last, { values: 0 }],
    [last, { result: { overwritten: 3 } }],
    [last, { sha256: '0'.repeat(64) }],
    [last, { id: 8 }],
  ];
  for (const [index, change] of changes) {
    expect(isWhole(messages.with(index, { ...messages[index]!, ...change } as Reply))).toBe(false);
  }
});

test('whatever else a child sends is a bad message', () => {
  fc.assert(
    fc.property(fc.anything(), (message) => {
      expect(() => read([message])).toThrow(expect.objectContaining({ code: 'BRIDGE_BAD_MESSAGE' }));
    }),
  );
});

test.each([
  ['evaluate', { ids: [1, 2], mode: 'batch-all' }],
  ['decode', { ids: [1], mode: 'sequential', count: 3 }],
  ['tokenize', { text: 'x', parseSpecial: true, addSpecial: false }],
  ['trace', { ids: [1], mode: 'batch-last', nodes: '', overwrite: [] }],
])('a request %s is read, and refused with a key more, less or of another type', (kind, body) => {
  const request = { kind, id: 3, ...body };
  expect(parseRequest(request)).toEqual(request);
  const refused = expect.objectContaining({ code: 'BRIDGE_BAD_MESSAGE' });
  expect(() => parseRequest({ ...request, more: 1 })).toThrow(refused);
  for (const key of Object.keys(request)) {
    const { [key as keyof typeof request]: _, ...less } = request;
    expect(() => parseRequest(less)).toThrow(refused);
    expect(() => parseRequest({ ...request, [key]: { not: 'this' } })).toThrow(refused);
  }
});
