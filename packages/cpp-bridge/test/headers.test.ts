import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AbiLayouts, AbiScalar } from '../src/abi-layouts.ts';
import { BridgeError } from '../src/errors.ts';
import { LLAMA_0_5_0_LAYOUTS } from '../src/ffi/layouts-llama-0.5.0.ts';
import { readDeclarations } from '../src/headers/declarations.ts';
import { readHeaderLayouts } from '../src/headers/layouts.ts';
import { preprocess } from '../src/headers/preprocessor.ts';
import { headersFor, newHeaders, OLD_LAYOUTS, oldHeaders } from './header-writer.ts';

/** What a header of one file declares. */
function declarationsOf(text: string): ReturnType<typeof readDeclarations> {
  return readDeclarations(
    preprocess((name) => (name === 'x.h' ? text : undefined), 'x.h'),
    'x.h',
  );
}

/** Size and offsets of `struct s`, or why they are not known. */
function layoutOf(text: string): string {
  const struct = declarationsOf(text).structs.get('s');
  if (struct === undefined) return 'no struct s';
  if ('unknown' in struct) return struct.unknown;
  const fields = [...struct.fields].map(([name, { offsetBytes, type }]) => {
    const count = type.count === undefined ? '' : `[${type.count}]`;
    return `${name}:${type.scalar ?? 'struct'}${count}@${offsetBytes}`;
  });
  return `${struct.sizeBytes} ${fields.join(' ')}`;
}

function errorOf(text: string): string {
  try {
    declarationsOf(text);
  } catch (error) {
    if (!(error instanceof BridgeError && error.code === 'BRIDGE_BAD_HEADER')) throw error;
    return error.message;
  }
  return 'none';
}

describe('layouts of llama.cpp', () => {
  test('the new generation: the table of v0.5.0, from its declarations', () => {
    expect(readHeaderLayouts(newHeaders())).toEqual({ generation: 'new', layouts: LLAMA_0_5_0_LAYOUTS });
  });

  test('the old generation, that of bitnet.cpp', () => {
    const { layouts, generation } = readHeaderLayouts(oldHeaders());
    expect(generation).toBe('old');
    expect(layouts).toEqual(OLD_LAYOUTS);
    expect(Object.values(layouts).map(({ sizeBytes }) => sizeBytes)).toEqual([64, 120, 72, 336]);
  });

  test.each<[string, Partial<Record<keyof AbiLayouts, string>>, string, string]>([
    [
      'a struct is missing',
      { llama_batch: '' },
      'BRIDGE_NO_LAYOUT',
      'llama_batch is not certain: the headers do not define it',
    ],
    ['a struct is declared only', { llama_batch: 'struct llama_batch;' }, 'BRIDGE_NO_LAYOUT', 'llama_batch'],
    ['a field of unknown type', { llama_batch: 'struct llama_batch { wchar_t a; };' }, 'BRIDGE_NO_LAYOUT', 'wchar_t'],
    ['a syntax error', { llama_batch: 'struct llama_batch { int a;' }, 'BRIDGE_BAD_HEADER', 'llama.h'],
  ])('refused: %s', (_, replaced, code, message) => {
    const read = (): unknown => readHeaderLayouts(headersFor(LLAMA_0_5_0_LAYOUTS, 'new', replaced));
    expect(read).toThrow(expect.objectContaining({ code, message: expect.stringContaining(message) }));
  });

  test('refused: the functions of neither generation', () => {
    const read = (): unknown => readHeaderLayouts(headersFor(LLAMA_0_5_0_LAYOUTS, 'neither'));
    expect(read).toThrow(expect.objectContaining({ code: 'BRIDGE_NO_LAYOUT' }));
  });

  test('refused: no llama.h', () => {
    expect(() => readHeaderLayouts(() => undefined)).toThrow('llama.h, line 1: there is no such header');
  });
});

describe('structs, as gcc for x86-64 lays them out', () => {
  test.each<[string, string, string]>([
    ['padding between and behind', 'struct s { char a; double b; short c; };', '24 a:i8@0 b:f64@8 c:i16@16'],
    ['several names', 'struct s { int a, *b, c[3]; };', '32 a:i32@0 b:pointer@8 c:i32[3]@16'],
    ['several dimensions', 'struct s { char a[2][3]; int b; };', '12 a:i8[6]@0 b:i32@8'],
    ['callbacks', 'struct s { bool a; void (*b)(int, char (*)[4]); };', '16 a:bool@0 b:pointer@8'],
    ['arrays of callbacks', 'struct s { int (*a[2])(void); char b; };', '24 a:pointer[2]@0 b:i8@16'],
    ['pointers to arrays', 'struct s { int (*a)[9]; };', '8 a:pointer@0'],
    ['pointers to pointers', 'struct s { const char * const * a; void * restrict b; };', '16 a:pointer@0 b:pointer@8'],
    [
      'all words of integers',
      'struct s { unsigned a; long unsigned int b; signed char c; long long d; };',
      '32 a:u32@0 b:u64@8 c:i8@16 d:i64@24',
    ],
    ['enums', 'enum e { A, B = 7, C }; struct s { enum e a; char b[C]; };', '12 a:i32@0 b:i8[8]@4'],
    ['typedefs of typedefs', 'typedef float f; typedef f * p; struct s { f a; p b; };', '16 a:f32@0 b:pointer@8'],
    [
      'typedefs of callbacks',
      'typedef bool (*cb)(struct t *, bool); struct s { int a; cb b; };',
      '16 a:i32@0 b:pointer@8',
    ],
    [
      'a struct in a struct',
      'struct t { char a; int64_t b; }; struct s { char c; struct t d; };',
      '24 c:i8@0 d:struct@8',
    ],
    ['a struct with a body in a struct', 'struct s { char a; struct { short b; } c; };', '4 a:i8@0 c:struct@2'],
    ['a union', 'struct s { char a; union { int b; double c; } d; };', '16 a:i8@0 d:struct@8'],
    ['a struct without a tag', 'typedef struct { int a; } s;', '4 a:i32@0'],
    ['an array of structs', 'struct t { short a; }; struct s { struct t b[5]; };', '10 b:struct[5]@0'],
    [
      'what is deprecated',
      '#define D(x, h) x __attribute__((deprecated(h)))\nstruct s { int a; D(int b, "use (a), x"); };',
      '8 a:i32@0 b:i32@4',
    ],
    [
      'lengths that are expressions',
      '#define N 64\nstruct s { int a[N / sizeof(int32_t)], b[(1 << 2) - 1 ? 2 : 9]; };',
      '72 a:i32[16]@0 b:i32[2]@64',
    ],
    ['lines that go on, comments', 'struct s { // int x; \\\n int y;\n int /* long */ a; };', '4 a:i32@0'],
    ['a comment without spaces', 'struct s { unsigned/**/char a; };', '1 a:u8@0'],
    [
      'what another compiler sees',
      '#ifdef _MSC_VER\nstruct s { int x; };\n#elif defined(__GNUC__)\nstruct s { char a; };\n#endif',
      '1 a:i8@0',
    ],
    ['a value with a default', '#ifndef N\n#define N 3\n#endif\nstruct s { char a[N]; };', '3 a:i8[3]@0'],
    [
      'behind functions of all kinds',
      'static inline int f(int x) { if (x) { return 1; } return 0; }\nint g(void), h(int (*)(int));\nextern const char * n[2];\nint v = 3;\nstruct s { int a; };',
      '4 a:i32@0',
    ],
  ])('%s', (_, text, layout) => {
    expect(layoutOf(text)).toBe(layout);
  });

  test('functions are known by name', () => {
    const text =
      '#define API __attribute__((visibility("default"))) extern\nAPI struct t * f(int);\nAPI void (*g(int))(void);\nint (*not_one)(int); typedef int not_two(int);';
    expect([...declarationsOf(text).functions]).toEqual(['f', 'g']);
  });
});

describe('what cannot be laid out for certain is refused with the reason', () => {
  test.each<[string, string, string]>([
    ['a bit-field', 'struct s { int a : 3; };', 'bit-field'],
    ['attributes', 'struct s { char a; int b; } __attribute__((packed));', 'attributes'],
    ['attributes of a field', 'struct s { char a __attribute__((aligned(16))); };', 'attributes'],
    ['an array without a length', 'struct s { int a; char b[]; };', 'field b'],
    ['an array with an unknown length', 'struct s { char a[LENGTH]; };', 'LENGTH is not defined'],
    ['an array of nothing', 'struct s { char a[0]; };', 'a length of 0'],
    ['an array beyond all bounds', 'struct s { char a[0x7fffffff]; };', 'a length of 2147483647'],
    ['a length divided by 0', 'struct s { char a[1 / 0]; };', 'a division by 0'],
    ['an unknown type', 'struct s { thing a; };', 'type thing is not declared'],
    ['a struct that is not defined', 'struct t; struct s { struct t a; };', 'not defined'],
    ['itself', 'struct s { struct s a; };', 'not defined'],
    ['void', 'struct s { void a; };', 'void'],
    ['a function', 'struct s { int a(void); };', 'function'],
    ['another floating point', 'struct s { long double a; };', 'long double'],
    ['two definitions', 'struct s { int a; }; struct s { long a; };', 'defined twice'],
    ['two fields of one name', 'struct s { int a; int a; };', 'there twice'],
    ['nothing in it', 'struct s { };', 'no fields'],
    [
      'a field that the build decides',
      'struct s { int a;\n#ifdef GGML_X\nint b;\n#endif\n};',
      'depends on macro GGML_X',
    ],
    [
      'a field that the build leaves out',
      'struct s { int a;\n#ifndef GGML_X\nint b;\n#endif\n};',
      'depends on macro GGML_X',
    ],
    [
      'a struct that the build decides',
      '#if GGML_X > 3\nstruct s { int a; };\n#else\nstruct s { long a; };\n#endif',
      'depends on macro GGML_X',
    ],
    [
      'a length that the build decides',
      '#ifdef GGML_X\n#define N 1\n#else\n#define N 2\n#endif\nstruct s { int a[N]; };',
      'depends on macro GGML_X',
    ],
    [
      'a type that the build decides',
      '#ifdef GGML_X\ntypedef int t;\n#else\ntypedef long t;\n#endif\nstruct s { t a; };',
      'depends on macro GGML_X',
    ],
  ])('%s', (_, text, reason) => {
    expect(layoutOf(text)).toContain(reason);
  });

  test('and nothing else with it', () => {
    const { structs } = declarationsOf('struct t { int a : 3; }; struct s { struct t * a; };');
    expect(structs.get('t')).toEqual({ unknown: 'it has a bit-field' });
    expect(structs.get('s')).toMatchObject({ sizeBytes: 8 });
  });
});

describe('what is no C ends with an error that names the line', () => {
  test.each<[string, string, string]>([
    ['a comment without end', 'int a;\n/* x', 'x.h, line 2: a comment does not end'],
    ['a strange character', 'int a;\n@', 'x.h, line 2: "@" is not expected here'],
    ['a string without end', '"abc', 'x.h, line 1'],
    ['#if without #endif', '#if 1\nint a;', '#endif is missing'],
    ['#endif without #if', '#endif', '#endif without #if'],
    ['#else without #if', '#else', '#else without #if'],
    ['#if with no expression', '#if\n#endif', 'the end is not expected'],
    ['#if that divides by 0', '#if 1 / 0\n#endif', 'a division by 0'],
    ['#pragma pack', '#pragma pack(1)', '#pragma pack'],
    ['#error', '#error no', '#error'],
    ['an unknown directive', '#embed "x"', '#embed is not known'],
    ['a macro without name', '#define', 'the name of a macro is missing'],
    ['parameters without end', '#define F(a', 'the parameters of macro F do not end'],
    ['arguments without end', '#define F(a) a\nF(1', 'the arguments of macro F do not end'],
    ['too many arguments', '#define F(a) a\nF(1, 2)', 'macro F has 1 parameters, not 2'],
    ['a macro that makes tokens', '#define F(a) x##a\nint F(1);', 'macro F makes tokens of text'],
    ['a struct without end', 'struct s { int a;', 'does not end'],
    ['a struct without anything', 'struct ;', 'neither a name nor a body'],
    ['a brace too many', 'int a; }', 'x.h, line 1'],
  ])('%s', (_, text, message) => {
    expect(errorOf(text)).toContain(message);
  });
});

describe('hostile headers take bounded time', () => {
  const doubling = Array.from({ length: 40 }, (_, index) => `#define M${index} M${index + 1} M${index + 1}`).join('\n');

  test.each<[string, string]>([
    ['macros that double', `${doubling}\n#define M40 x\nint M0;`],
    ['macros that double nothing', `${doubling}\n#define M40\nint M0;`],
    ['a macro of itself and others', '#define A B A B A\n#define B A B A B\nA'.repeat(1)],
    ['nested parentheses', `int a[${'('.repeat(100_000)}1];`],
    ['nested declarators', `int ${'('.repeat(100_000)}a;`],
    ['nested structs', 'struct s { '.repeat(100_000)],
    ['nested conditions', '#if 1\n'.repeat(100_000)],
    ['many comments that do not end', '/* '.repeat(300_000)],
    ['long expressions', `#if ${'1 + '.repeat(200_000)} 1\n#endif`],
    ['many small structs', 'struct a;struct b{int x;};typedef int t;'.repeat(20_000)],
    ['signs without end', `#if ${'-'.repeat(100_000)}1\n#endif`],
    ['a long number', `#if ${'9'.repeat(500_000)}\n#endif`],
    ['a header of itself', '#include "x.h"\n'.repeat(10_000)],
  ])('%s', (_, text) => {
    const before = performance.now();
    errorOf(text);
    expect(performance.now() - before).toBeLessThan(10_000);
  });

  test('any sequence of tokens ends, at most with a typed error', () => {
    const words = [
      'struct',
      's',
      '{',
      '}',
      ';',
      '(',
      ')',
      '[',
      ']',
      '*',
      ',',
      '=',
      ':',
      'int',
      'typedef',
      'enum',
      '4',
      '"x"',
      '__attribute__',
      'sizeof',
      '\n#if ',
      '\n#else\n',
      '\n#endif\n',
      '\n#define ',
      '\n#ifdef X\n',
      '?',
      '-',
      '...',
      'X',
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...words), { maxLength: 60 }), (tokens) => {
        expect(errorOf(tokens.join(' '))).toEqual(expect.any(String));
      }),
      { numRuns: 5000 },
    );
  });

  test('every beginning of a header ends, at most with a typed error', () => {
    const text = newHeaders()('llama.h')!;
    for (let length = 0; length < text.length; length += 7)
      expect(errorOf(text.slice(0, length))).toEqual(expect.any(String));
  });
});

test('every scalar has a name in C', () => {
  const names = new Set(
    Object.values(LLAMA_0_5_0_LAYOUTS).flatMap(({ fields }) => Object.values(fields).map(({ type }) => type)),
  );
  expect([...names].toSorted()).toEqual([
    'bool',
    'f32',
    'i32',
    'i64',
    'i8',
    'pointer',
    'u32',
    'u64',
  ] satisfies AbiScalar[]);
});
