/** A fenced block, by the lines of its document. */
export interface Fence {
  /** Index of the line behind the opening fence. */
  readonly begin: number;
  /** Index of the closing fence. */
  readonly end: number;
  /** What stands behind the opening fence. */
  readonly info: string;
}

/** Fenced blocks in order. */
export function fencesOf(lines: readonly string[], path: string): Fence[] {
  const fences: Fence[] = [];
  let open: { begin: number; info: string; mark: string } | undefined;
  for (const [index, line] of lines.entries()) {
    const [, mark, info] = /^ {0,3}(```+)(.*)$/.exec(line) ?? [];
    if (mark === undefined) continue;
    if (open === undefined) open = { begin: index + 1, info: info!.trim(), mark };
    else if (mark.length >= open.mark.length && info === '') {
      fences.push({ begin: open.begin, end: index, info: open.info });
      open = undefined;
    }
  }
  if (open !== undefined) throw new Error(`${path}:${open.begin}: the fence is not closed.`);
  return fences;
}

const BEGIN = /^<!-- generated: ([a-z-]+) -->$/;
const END = '<!-- end of generated -->';

/** Puts what `write` gives for each name between its marks. */
export function fillGenerated(text: string, path: string, write: (name: string) => string): string {
  const out: string[] = [];
  let inside = false;
  for (const line of text.split('\n')) {
    const name = BEGIN.exec(line)?.[1];
    if (name !== undefined) {
      if (inside) throw new Error(`${path}: "${line}" stands within another.`);
      out.push(line, '', ...write(name).trimEnd().split('\n'), '');
      inside = true;
    } else if (line === END) {
      if (!inside) throw new Error(`${path}: "${line}" ends nothing.`);
      out.push(line);
      inside = false;
    } else if (!inside) out.push(line);
  }
  if (inside) throw new Error(`${path}: "${END}" is missing.`);
  return out.join('\n');
}
