/** A fenced block of a README that is run as it stands. */
export interface Example {
  /** Line of the README, from 1. */
  readonly line: number;
  readonly code: string;
  /** What it prints, where the README says it: the `text` block that follows. */
  readonly output: string | undefined;
  readonly inNode: boolean;
  readonly inPage: boolean;
}

/** A fence, its language, what else stands beside it, and what is in it. */
const FENCED = /^```(?<language>\w*)(?: (?<label>\w+))?\n(?<code>.*?)^```$/gms;
const ONLY_NODE = /from 'node:|from '[^']+\/node'|\bprocess\./;

/**
 * The JavaScript of a README: a block `js` is run in Node, and in a page too if it uses nothing of Node's; `js browser` in
 * a page alone; `js fragment` is a part of a program and not run. A `text` block right after one is all that it prints.
 * Throws for a block in another dialect, which nobody would run.
 */
export function examplesOf(readme: string): readonly Example[] {
  const blocks = Array.from(readme.matchAll(FENCED), (match) => ({
    language: match.groups!['language']!,
    label: match.groups!['label'],
    code: match.groups!['code']!,
    line: readme.slice(0, match.index).split('\n').length,
    start: match.index,
    end: match.index + match[0].length,
  }));
  const examples: Example[] = [];
  for (const [index, { language, label, code, line, end }] of blocks.entries()) {
    if (['ts', 'tsx', 'typescript', 'javascript', 'mjs'].includes(language)) {
      throw new Error(`Line ${line}: write \`js\` instead of \`${language}\`, so that the example is run.`);
    }
    if (language !== 'js' || label === 'fragment') continue;
    if (label !== undefined && label !== 'browser') {
      throw new Error(`Line ${line}: "${label}" means nothing; a block is \`js\`, \`js browser\` or \`js fragment\`.`);
    }
    const next = blocks[index + 1];
    const follows = next?.language === 'text' && readme.slice(end, next.start).trim() === '';
    examples.push({
      line,
      code,
      output: follows ? next.code : undefined,
      inNode: label === undefined,
      inPage: label === 'browser' || !ONLY_NODE.test(code),
    });
  }
  return examples;
}

/** The commands of the first `sh` block, without comments. */
export function commandsOf(readme: string): readonly string[] {
  const block = Array.from(readme.matchAll(FENCED)).find(({ groups }) => groups!['language'] === 'sh');
  const lines = block?.groups!['code']!.split('\n') ?? [];
  return lines.map((line) => line.replace(/(?:^|\s+)#[^'"]*$/, '').trim()).filter((line) => line !== '');
}

/** The packages that a piece of code imports, with their scope. */
export function importsOf(code: string): readonly string[] {
  return Array.from(code.matchAll(/from '((?:@[\w-]+\/)?[\w-]+)(?:\/[\w./-]+)?'/g), ([, name]) => name!);
}
