/**
 * Turns on V8's revectorizer where it works: Node 24 and newer on x64. Code compiled before stays as it is.
 *
 * @returns whether it is on
 */
export function turnOnRevectorizer(): boolean {
  const major = Number(globalThis.process?.versions?.node?.split('.')[0]);
  if (!(major >= 24) || globalThis.process.arch !== 'x64') return false;
  globalThis.process.getBuiltinModule('node:v8').setFlagsFromString('--experimental-wasm-revectorize');
  return true;
}
