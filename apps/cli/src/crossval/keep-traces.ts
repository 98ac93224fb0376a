import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type LadderCase, type Side, tracedIds, traceHeader } from '@bittern/crossval';
import type { Io } from '../io.ts';
import { warn } from '../output.ts';
import { TraceFolder } from '../trace-folder.ts';

/** Writes the traces of both sides, of every case that is traced, for `trace-diff`: a folder a case, a folder a side. */
export async function keepTraces(
  folder: string,
  sides: { readonly ours: Side; readonly reference: Side },
  cases: readonly LadderCase[],
  io: Io,
): Promise<void> {
  for (const ladderCase of cases) {
    if (!ladderCase.trace) continue;
    const { id, mode } = ladderCase;
    const ids = tracedIds(ladderCase);
    const caseFolder = join(folder, safeName(id));
    for (const [name, side] of Object.entries(sides)) {
      const path = join(caseFolder, name);
      await mkdir(caseFolder, { recursive: true });
      using written = new TraceFolder(path, traceHeader(side.identity, mode, ids), () => true);
      let digests = 0;
      await side.trace(ids, {
        mode,
        signal: io.signal,
        onTap: (tap) => {
          if (tap.data === undefined) digests++;
          else written.add(tap);
        },
      });
      if (digests === 0) await written.commit();
      // A trace with holes would not be what its name says.
      else
        warn(io, `${path} is not written: ${side.identity.name} has digests only of ${digests} operations of ${id}.`);
    }
  }
}

/** A name from a recording as that of one folder: nothing in it leads elsewhere. */
export function safeName(name: string): string {
  return name.replaceAll(/[^\w-]+/g, '_');
}
