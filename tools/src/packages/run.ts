import { spawn } from 'node:child_process';

export interface Finished {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. Rejects with all that it wrote if it fails, or takes longer than ten minutes. */
export async function run(
  program: string,
  parameters: readonly string[],
  options: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv },
): Promise<Finished> {
  const { promise, resolve, reject } = Promise.withResolvers<Finished>();
  const child = spawn(program, parameters, { ...options, stdio: ['ignore', 'pipe', 'pipe'], timeout: 600_000 });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.on('error', reject).on('close', (code, signal) => {
    if (code === 0) resolve({ stdout, stderr });
    else reject(new Error(`${program} ${parameters.join(' ')} ended with ${code ?? signal}\n${stderr}${stdout}`));
  });
  return await promise;
}
