/** Whether a pattern matches a whole text: `*` is any characters, `?` any one; all others are themselves. */
export function matchesGlob(pattern: string, text: string): boolean {
  let [at, from] = [0, 0];
  // The last star, and where in the text what it stands for ends for now.
  let [star, starEnd] = [-1, 0];
  while (at < text.length) {
    if (pattern[from] === '*') {
      [star, starEnd] = [from, at];
      from += 1;
    } else if (from < pattern.length && (pattern[from] === '?' || pattern[from] === text[at])) {
      from += 1;
      at += 1;
    } else if (star >= 0) {
      starEnd += 1;
      [from, at] = [star + 1, starEnd];
    } else {
      return false;
    }
  }
  while (pattern[from] === '*') from += 1;
  return from === pattern.length;
}
