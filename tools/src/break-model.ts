// Writes a copy of a BitNet model with one fault, to see what `bittern crossval` makes of it (docs/parity-playbook.md):
//
//   node tools/src/break-model.ts FAULT MODEL.gguf BROKEN.gguf
import { readFile, writeFile } from 'node:fs/promises';
import { GgufEditor, type GgufFile, openGguf } from '@bittern/gguf-parser';

/** Each changes the metadata, or the bytes of the file in place. */
const FAULTS: Readonly<Record<string, (editor: GgufEditor, bytes: Buffer, gguf: GgufFile) => void>> = {
  'no-bos': (editor) => editor.set('tokenizer.ggml.add_bos_token', 'bool', false),
  'rope-base': (editor, _, gguf) => editor.set(`${architectureOf(gguf)}.rope.freq_base`, 'f32', 20_000),
  'norm-epsilon': (editor, _, gguf) =>
    editor.set(`${architectureOf(gguf)}.attention.layer_norm_rms_epsilon`, 'f32', 0.01),
  'norm-gamma': (_, bytes, gguf) => scaleFloats(bytes, gguf, 'output_norm.weight'),
  'tensor-scale': (_, bytes, gguf) => {
    const { offsetBytes, elementCount } = tensorOf(gguf, 'blk.2.ffn_down.weight', 'I2_S');
    const at = offsetBytes + elementCount / 4; // behind the codes, four to a byte
    bytes.writeFloatLE(1.25 * bytes.readFloatLE(at), at);
  },
};

const [fault = '', from, to] = process.argv.slice(2);
const apply = FAULTS[fault];
if (apply === undefined || from === undefined || to === undefined) {
  console.error(`Usage: break-model FAULT MODEL.gguf BROKEN.gguf\nFaults: ${Object.keys(FAULTS).join(', ')}`);
  process.exitCode = 2;
} else {
  const bytes = await readFile(from);
  const gguf = await openGguf(bytes);
  const editor = new GgufEditor(gguf);
  apply(editor, bytes, gguf);
  await writeFile(to, editor.chunks());
}

function architectureOf({ metadata }: GgufFile): string {
  return String(metadata.get('general.architecture'));
}

function tensorOf(gguf: GgufFile, name: string, type: string): { offsetBytes: number; elementCount: number } {
  const tensor = gguf.tensors.get(name);
  if (tensor?.type !== type) throw new Error(`${gguf.source.name} has no ${name} of type ${type}.`);
  return tensor;
}

function scaleFloats(bytes: Buffer, gguf: GgufFile, name: string): void {
  const { offsetBytes, elementCount } = tensorOf(gguf, name, 'F32');
  for (let at = offsetBytes; at < offsetBytes + 4 * elementCount; at += 4) {
    bytes.writeFloatLE(1.25 * bytes.readFloatLE(at), at);
  }
}
