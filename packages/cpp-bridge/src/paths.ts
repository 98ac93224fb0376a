import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** Variables of the environment, `process.env` for example. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The user's folder for settings of ours; `config.json` lies there. Source: XDG Base Directory Specification 0.8. */
export function configFolder(env: Environment): string {
  return join(xdg(env, 'XDG_CONFIG_HOME') ?? join(home(env), '.config'), 'bittern');
}

/** The user's folder for what can be fetched again. */
export function cacheFolder(env: Environment): string {
  return join(xdg(env, 'XDG_CACHE_HOME') ?? join(home(env), '.cache'), 'bittern');
}

export function home(env: Environment): string {
  return absolute(env.HOME) ?? homedir();
}

/** The specification wants relative ones ignored. */
function xdg(env: Environment, name: string): string | undefined {
  return absolute(env[name]);
}

function absolute(path: string | undefined): string | undefined {
  return path !== undefined && isAbsolute(path) ? path : undefined;
}
