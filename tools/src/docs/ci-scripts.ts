/** The scripts of the workspace that `.ci/run` runs: `step pnpm run build --force` is `build`. */
export function ciScripts(text: string): ReadonlySet<string> {
  const scripts = [...text.matchAll(/^(?:step|tests) pnpm (?:run )?([a-z:]+)/gm)].map(([, name]) => name!);
  if (scripts.length === 0) throw new Error('.ci/run runs no script.');
  return new Set(scripts);
}

/** Whether a command is one of these, with no option of its own. */
export function isRunByCi(command: string, scripts: ReadonlySet<string>): boolean {
  const script = /^(?:npx -y pnpm@\S+|pnpm) (?:run )?([a-z:]+)\s*(?:#.*)?$/.exec(command)?.[1];
  return script !== undefined && scripts.has(script);
}
