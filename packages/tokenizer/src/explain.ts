const NAMES: Readonly<Record<string, string>> = { '\n': '⏎', '\r': '␍', '\t': '⇥', ' ': '·' };

/**
 * A piece with its whitespace visible: · for a space, ⏎ for a line feed, ⇥ for a tab, and \u{…} for what else cannot be
 * seen, so that nothing of it reaches a terminal as a command.
 */
export function explainPiece(piece: string): string {
  return piece.replaceAll(/[\p{White_Space}\p{C}\p{Default_Ignorable_Code_Point}]/gu, (character) => {
    return NAMES[character] ?? String.raw`\u{${character.codePointAt(0)!.toString(16)}}`;
  });
}
