import { describe, expect, test } from 'vitest';
import { parseJinja } from '../src/jinja.ts';

/** A loop that makes `ns.s` as long as 8 * 2^times. */
const long = (times: number) =>
  `{% set ns = namespace(s="xxxxxxxx") %}{% for i in range(${times}) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}`;
const repeated = (body: string) => `{% for i in range(60000) %}${body}{% endfor %}`;
const doubling = (value: string, use: string) =>
  `{% set ns = namespace(v=[1]) %}{% for i in range(60) %}{% set ns.v = ${value} %}{% endfor %}${use}`;

const HOSTILE: Record<string, string> = {
  'a loop of 1e8': '{% for i in range(100000000) %}x{% endfor %}',
  'loops within loops': repeated(repeated('')),
  'loops within loops that write': repeated(repeated('x')),
  'a loop whose condition is never true': '{% for i in range(60000) if false %}{% endfor %}'.repeat(3000),
  'a text that doubles': long(60),
  'a list that doubles': doubling('ns.v + ns.v', '{{ ns.v | length }}'),
  'a list of itself twice': doubling('[ns.v, ns.v]', '{{ ns.v }}'),
  'a list of itself twice, compared': doubling('[ns.v, ns.v]', '{{ ns.v == "x" }}'),
  'an object of itself twice': doubling('{"a": ns.v, "b": ns.v}', '{{ ns.v | tojson }}'),
  'a namespace that holds itself': '{% set ns = namespace() %}{% set ns.a = [ns, ns] %}{{ ns | tojson }}',
  'replace, as a method': `${long(14)}{{ ns.s.replace("x", ns.s) }}`,
  'replace, as a filter': `${long(14)}{{ ns.s | replace("x", ns.s) }}`,
  'replace, by another name': `${long(14)}{% set m = ns.s.replace %}{{ m("x", ns.s) }}`,
  'replace, called by a block': `${long(14)}{% set m = ns.s.replace %}{% call m("x", ns.s) %}{% endcall %}`,
  'replace of nothing, often': long(17) + repeated('{% set q = ns.s.replace("", "") %}'),
  'a long text in title case, often': long(17) + repeated('{% set q = ns.s.title() %}'),
  'every second letter of a long text, often': long(17) + repeated('{% set q = ns.s[::2] %}'),
  'a nested list, printed often': `{% set ns = namespace(v=[1]) %}{% for i in range(15) %}{% set ns.v = [ns.v, ns.v] %}{% endfor %}${repeated('{{ ns.v }}')}`,
  'a nested list, printed by a macro':
    `{% set ns = namespace(v=[1]) %}{% for i in range(15) %}{% set ns.v = [ns.v, ns.v] %}{% endfor %}` +
    `{% macro f(v) %}{{ v }}{% endmacro %}${repeated('{{ f(ns.v) }}')}`,
  'an object, gone through often': `{% set d = {${Array.from({ length: 20_000 }, (_, i) => `"${i}":1`).join(',')}} %}${repeated('{% for k in d %}{% endfor %}')}`,
  'join of a list': `${long(14)}{{ range(60000) | join(ns.s) }}`,
  'join of a text': `${long(16)}{{ ns.s | join(ns.s) }}`,
  indent: '{{ "a\nb" | indent(1000000000) }}',
  'indent by a keyword': '{{ "a\nb" | indent(width=1000000000) }}',
  'indent of a block': '{% filter indent(1000000000) %}a\nb{% endfilter %}',
  'tojson with an indent': '{{ [1, [2]] | tojson(indent=1000000000) }}',
  'tojson with separators': `${long(16)}{{ range(60000) | tojson(separators=[ns.s, ns.s]) }}`,
  'a macro that calls itself': '{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}',
  'a macro that calls itself twice, 40 deep':
    '{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}',
  'a long macro, defined often': repeated(`{% macro f() %}${'{{ n }}'.repeat(20_000)}{% endmacro %}`),
  'unknown names in deep scopes':
    '{% macro f() %}{% for i in range(1000) %}{{ zzz }}{% endfor %}{{ f() }}{% endmacro %}{{ f() }}',
  'call blocks within each other': `{% macro f() %}{{ caller() }}{{ caller() }}{% endmacro %}${'{% call f() %}'.repeat(40)}x${'{% endcall %}'.repeat(40)}`,
  '100,000 parentheses': `{{ ${'('.repeat(100_000)}1${')'.repeat(100_000)} }}`,
  '100,000 brackets': `{{ ${'['.repeat(100_000)}${']'.repeat(100_000)} }}`,
  '10,000 blocks within each other': '{% if 1 %}'.repeat(10_000) + '{% endif %}'.repeat(10_000),
  '60,000 times not': `{{ ${'not '.repeat(60_000)}1 }}`,
  '100,000 sums': `{{ 1${'+1'.repeat(100_000)} }}`,
  'a long text, searched often': long(17) + repeated('{% if "y" in ns.s %}{% endif %}'),
  'a long text, copied often': long(17) + repeated('{% if ns.s.lower() %}{% endif %}'),
  'a long text, split often': long(15) + repeated('{% set q = ns.s.split("x") %}'),
  'a long text, tested often': long(17) + repeated('{% if ns.s is lower %}{% endif %}'),
  'long texts, kept': `${long(14)}${repeated('{% set ns.s = ns.s ~ "x" %}')}`,
  'a long list, sorted often': `{% set r = range(60000) | list %}${repeated('{% set q = r | sort %}')}`,
  'a long list, reversed often': `{% set r = range(60000) | list %}${repeated('{% set q = r[::-1] %}')}`,
  'a long list, searched often': `{% set r = range(60000) | list %}${repeated('{% if -1 in r %}{% endif %}')}`,
  'a run of 200,000 spaces and lines': `{{ 1 }}${' \n'.repeat(100_000)}{{ 2 }}`,
  '300,000 characters': 'x'.repeat(300_000),
};

describe('a hostile template is refused', () => {
  test.each(Object.entries(HOSTILE))('%s', (_, template) => {
    const before = process.memoryUsage().rss;
    const started = performance.now();
    expect(() => parseJinja(template).render({ messages: [] }, { now: new Date(0) })).toThrow(
      expect.objectContaining({ name: 'TokenizerError', code: 'TOKENIZER_TEMPLATE_LIMIT' }),
    );
    // Far above what it takes (2 s, 200 MB), far below what it would take.
    expect(performance.now() - started).toBeLessThan(20_000);
    expect(process.memoryUsage().rss - before).toBeLessThan(600e6);
  });

  test.each([
    '{#'.repeat(100_000),
    '{%'.repeat(100_000),
    "{{ '".repeat(50_000),
    '{{ range(1, 9, 0) }}',
    '{{ 1 | nope }}',
  ])('a malformed one is an error too', (template) => {
    expect(() => parseJinja(template).render({})).toThrow(expect.objectContaining({ code: 'TOKENIZER_BAD_TEMPLATE' }));
  });

  test('a template has no way to JavaScript', () => {
    const source = '{{ messages.constructor }}{{ "".constructor }}{{ messages.__proto__ }}{{ range.constructor }}';
    expect(parseJinja(source).render({ messages: [] })).toBe('');
  });
});

describe('an honest template', () => {
  // The parts of templates in use that look at messages again and again, as in Qwen's and LLaMA's.
  const source =
    '{% for message in messages %}{% set index = (messages | length - 1) - loop.index0 %}' +
    "{% if loop.first and messages[0].role == 'system' %}{{ bos_token }}{% endif %}" +
    "{% if message.content is string and 'x' in message.content and tools is not defined %}" +
    "{{ '<|' + message['role'] + '|>' + message['content'] | trim | replace('\\n', ' ') + '<|end|>' }}{% endif %}" +
    "{% if index > 0 and messages[loop.index0 + 1].role == message.role %}{{ raise_exception('twice') }}{% endif %}" +
    '{% endfor %}';

  test('is rendered for a long chat', () => {
    const messages = Array.from({ length: 2000 }, (_, index) => ({
      role: index % 2 === 0 ? 'user' : 'assistant',
      content: 'x y\n'.repeat(250),
    }));
    const text = parseJinja(source).render({ messages, bos_token: '<s>' });
    expect(text.length).toBeGreaterThan(2_000_000);
  });

  test('says what is wrong', () => {
    const twice = [
      { role: 'user', content: 'x' },
      { role: 'user', content: 'x' },
    ];
    expect(() => parseJinja(source).render({ messages: twice })).toThrow(/the template says: twice/);
  });

  test('knows the time only if it is told', () => {
    const dated = parseJinja(
      "{{ strftime_now('%d %b %Y, %B %H:%M 100%%') if strftime_now is defined else 'unknown' }}",
    );
    expect(dated.render({})).toBe('unknown');
    expect(dated.render({}, { now: new Date(2026, 10, 3, 4, 5) })).toBe('03 Nov 2026, November 04:05 100%');
  });
});
