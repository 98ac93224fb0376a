import { CAUSES } from '@bittern/crossval';
import { expect, test } from 'vitest';
import { bittern } from './support.ts';

test.each(Object.entries(CAUSES))('what would confirm "%s" is a command that there is', async (_, { confirm }) => {
  const [, command] = /^bittern ((?:trace )?[a-z-]+)/.exec(confirm) ?? [];
  expect(command).toBeDefined();
  const { code, stdout } = await bittern([...command!.split(' '), '--help']);
  expect(code).toBe(0);
  const options = (confirm.match(/--[a-z-]+/g) ?? []).filter(
    (option) => !stdout.includes(`${option} `) && !stdout.includes(`${option}\n`),
  );
  expect(options).toEqual([]);
});

test('`crossval causes` lists them all', async () => {
  const { code, stdout } = await bittern(['crossval', 'causes']);
  expect(code).toBe(0);
  expect(stdout.match(/^ {2}needs {4}\S/gm)).toHaveLength(Object.keys(CAUSES).length);
  expect(JSON.parse((await bittern(['crossval', 'causes', '--json'])).stdout)).toEqual(CAUSES);
});
