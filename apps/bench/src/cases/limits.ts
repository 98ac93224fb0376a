import type { Command } from 'commander';
import { EXIT_CODES_HELP } from '../errors.ts';
import type { Io } from '../io.ts';
import { measure, print } from '../measure.ts';
import { addOptions, commonOptions, type MachineOptions, machineOptions } from '../options.ts';

export function addLimitsCommand(program: Command, io: Io): void {
  const command = program
    .command('limits')
    .description("Measure this machine's limits: memory read bandwidth and int8 dot products, in WebAssembly.")
    .addHelpText('after', `\nExamples:\n  bittern-bench limits --threads 1,2\n\n${EXIT_CODES_HELP}`)
    .action((options: MachineOptions) => limits(options, io));
  addOptions(command, [...machineOptions(), ...commonOptions({ repeats: 20, warmup: 3 })]);
}

async function limits(options: MachineOptions, io: Io): Promise<void> {
  const { threads, buffer, repeats, warmup } = options;
  const measured = await measure([], options, io);
  await print({ command: 'limits', settings: { threads, buffer, repeats, warmup }, ...measured }, options, io);
}
