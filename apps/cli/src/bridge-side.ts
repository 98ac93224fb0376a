import { basename } from 'node:path';
import type { Backend, BackendInfo } from '@bittern/cpp-bridge';
import type { Side, SideIdentity } from '@bittern/crossval';

/** A backend of the bridge as a side of a comparison. Node names are the backend's own. */
export function bridgeSide(backend: Backend, identity: SideIdentity): Side {
  return {
    identity,
    tokenize: (text, { parseSpecial, signal }) => backend.tokenize(text, { parseSpecial, signal }),
    evaluate: (ids, { mode, onLogits, signal }) => backend.evaluate(ids, { mode, onLogits, signal }),
    decode: (ids, { mode, count, onLogits, signal }) =>
      backend.decode(ids, { mode, count, signal, ...(onLogits && { onLogits }) }),
    async trace(ids, { mode, onTap, signal }) {
      await backend.trace(ids, {
        mode,
        signal,
        onNode: ({ name, occurrence, step, op, shape, values }) =>
          onTap({ name, occurrence, step, op, shape, data: values }),
      });
    },
  };
}

/** What a report says of a backend: all that decides its bits. */
export function bridgeIdentity(
  { backend, origin, version, files, cpuVariant, context, model }: BackendInfo,
  numerics: string,
): SideIdentity {
  const [llama] = files;
  const cache = context.keys === context.values ? context.keys : `${context.keys} and ${context.values}`;
  return {
    name: backend === 'bitnet' ? 'bitnet.cpp' : 'llama.cpp',
    // bitnet.cpp has no function that says its version.
    version: version.llama ?? `libllama ${llama!.sha256.slice(0, 12)}`,
    build: `${origin}${cpuVariant === null ? '' : `, CPU backend ${cpuVariant}`}, ${context.threads} thread${context.threads === 1 ? '' : 's'}, cache ${cache}`,
    numerics,
    model: { file: basename(model.path), sha256: model.sha256 },
  };
}
