const FLAG = '--experimental-wasm-revectorize';

let isOn = false;

/**
 * Turns on V8's revectorizer where it works: Node 24 and newer on x64. Code compiled before stays as it is.
 *
 * @returns whether it is on
 */
export function turnOnRevectorizer(): boolean {
  const major = Number(globalThis.process?.versions?.node?.split('.')[0]);
  if (!(major >= 24) || globalThis.process.arch !== 'x64') return false;
  globalThis.process.getBuiltinModule('node:v8').setFlagsFromString(FLAG);
  isOn = true;
  return true;
}

/**
 * V8's flags that loading kernels has set for the whole process, as on a command line. `process.execArgv` does not have
 * them.
 */
export function v8FlagsSet(): string[] {
  return isOn ? [FLAG] : [];
}
