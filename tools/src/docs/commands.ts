import type { Fence } from './markdown.ts';

/** A command of a document. */
export interface DocumentCommand {
  /** Number of its line. */
  readonly line: number;
  /** What a shell gets; several lines where one ends in a backslash. */
  readonly text: string;
  /**
   * - `shown`: it is run, and its output stands below it
   * - `run`: it is run, and must succeed
   * - `tested`: a test runs it, which the document names
   * - `marked`: it is not run, and the document says why
   */
  readonly kind: 'shown' | 'run' | 'tested' | 'marked';
  /** The test. */
  readonly by?: string;
}

/** A block begins with this where a test runs its commands, */
const TESTED = /^# Run in CI by (\S+)\.$/;
/** and with this where they are not run. */
const MARK = /^# Not run in CI: (?:needs|takes) .+\.$/;
/** What a command begins with, so that none hides in a block of another language. */
const COMMAND = /^\s*(?:\$ )?(?:bash|bittern|git|node|npm|npx|pnpm|python3?) \S/;

/** The commands of a fenced block: none, unless it is `sh` or `console`. */
export function commandsOf(lines: readonly string[], fence: Fence, path: string): DocumentCommand[] {
  const { begin, end, info } = fence;
  const body = lines.slice(begin, end);
  if (info !== 'sh' && info !== 'console') {
    const hidden = info === '' || /^(?:bash|shell|zsh)$/.test(info) ? body.findIndex((line) => COMMAND.test(line)) : -1;
    if (hidden >= 0) throw new Error(`${path}:${begin + hidden + 1}: a command; make the block "sh" or "console".`);
    return [];
  }
  const by = TESTED.exec(body[0] ?? '')?.[1];
  const isMarked = MARK.test(body[0] ?? '');
  const kind = by !== undefined ? 'tested' : isMarked ? 'marked' : info === 'console' ? 'shown' : 'run';
  if (by === undefined && !isMarked && /^# *(?:not run|run in)/i.test(body[0] ?? '')) {
    throw new Error(
      `${path}:${begin + 1}: write "# Not run in CI: needs ….", "# Not run in CI: takes …." or "# Run in CI by TEST.".`,
    );
  }
  const commands: DocumentCommand[] = [];
  for (let index = 0; index < body.length; index++) {
    const first = body[index]!;
    if (info === 'console' ? !first.startsWith('$ ') : first.trim() === '' || first.startsWith('#')) continue;
    const line = begin + index + 1;
    let text = info === 'console' ? first.slice(2) : first;
    while (text.endsWith('\\') && index + 1 < body.length) text += `\n${body[++index]!}`;
    commands.push({ line, text, kind, ...(by !== undefined && { by }) });
  }
  if (commands.length === 0) throw new Error(`${path}:${begin}: a block of commands without a command.`);
  return commands;
}
