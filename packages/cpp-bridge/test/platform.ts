/** Where the npm package exists. There its tests fail without it; elsewhere they do not run. */
export const HAS_NPM_LIBRARY: boolean = process.platform === 'linux' && process.arch === 'x64';
