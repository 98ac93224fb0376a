/** Texts that tokenizers have been known to get wrong. */
export const HARD_TEXTS: readonly string[] = [
  '',
  ' ',
  '  ',
  '   a',
  'a   ',
  '\t',
  '\t\t\tx',
  '\n',
  '\n\n\n',
  '\r\n\r\n',
  ' \n \n ',
  'a\n b\n  c',
  '\u0085',
  'a\u0085b',
  '\u00a0\u2003\u3000',
  '\u200b\u200c\u200d',
  '\ufeffBOM',
  '\0',
  'a\0b',
  '\u0001\u001f\u007f',
  '\ufffd',
  '\ufdd0\uffff',
  "I'm you're he'll she'd we've it's don't",
  "I'M YOU'RE HE'LL SHE'D WE'VE IT'S DON'T",
  "'ſ 'ſs 'K",
  '’s ’t',
  '0 12 345 6789 01234567890',
  '٣٤٥٦٧ १२३४ ๑๒๓๔ ௧௨௩ 𝟏𝟐𝟑𝟒 ½¾ Ⅷ ²³',
  '3.14159e-10 0x1F 1_000_000',
  'Zürich Straße naïve façade Ærøskøbing',
  'e\u0301 é n\u0303 ñ A\u030a Å',
  'Ελληνικά Русский עברית العربية हिन्दी ไทย 한국어 日本語 中文',
  '각 \u1100\u1161\u11a8',
  'ﬁ ﬂ ﬀ Ǆ ǆ İ ı K Å',
  '🙂😀👍🏽👨‍👩‍👧‍👦🏳️‍🌈🇩🇪',
  '👩🏿‍🚀x👩🏿‍🚀',
  '\u{1f468}\u200d',
  '𠀀𠀁 𝕳𝖊𝖑𝖑𝖔 𐍈',
  '\u{e0061}\u{e007f}',
  '\ud83d',
  'x\udc00y',
  '\ud83d\ud83d\ude42',
  '__proto__ constructor toString hasOwnProperty',
  '{"a": [1, 2, {"b": null}], "c": "\\u0041"}',
  'def f(x):\n\treturn x  # ok\n',
  'if (a&&b||!c) { d+=e--; } // ...',
  '<html><body class="x">&nbsp;</body></html>',
  'https://example.org/a?b=c&d=%20#e',
  'a@b.c +1-2*3/4=5 <<>> ~~ ^^ || && $$ ¢£€',
  '!!!???...,,,;;;:::---___',
  '……——„“”‘’«»',
  '()[]{}<>/\\|`"\'',
  '= == === => -> :: !=',
  'camelCase PascalCase snake_case SCREAMING_CASE kebab-case',
  'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
  ' '.repeat(257),
  '\n'.repeat(100),
  'ab'.repeat(500),
  '😀'.repeat(50),
  'Once upon a time, there was a little girl named Lily.',
  'The quick brown fox jumps over the lazy dog. THE QUICK BROWN FOX.',
  'supercalifragilisticexpialidocious pneumonoultramicroscopicsilicovolcanoconiosis',
  '<|eot_id|>',
  'x<|eot_id|>y <|begin_of_text|> z',
  '<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>',
  '<|eot_id',
  '<|eot_id|><|eot_id|>|>',
  '<|reserved_special_token_1|><|reserved_special_token_10|>',
  '< |eot_id| >',
  '▁Hello▁▁World',
  'Ġa Ċ č Ā',
  '<0x0A><unk></s>',
];

const ALPHABETS = [
  'abcdefghijklmnopqrstuvwxyz',
  'ABCDEFGHIJKLMNOPQRSTUVWXYZ',
  '0123456789٣٤५६²½Ⅷ𝟏',
  '    \t\n\r\u0085\u00a0\u2003\u3000\u200b\ufeff',
  '.,;:!?-_=+*/\\|<>()[]{}"\'`~@#$%^&',
  'éüñßøçÆŁσςΩЖщшяאבعربहिन्दीกขค한글日本語中文ﬁǅſKİı',
  '\u0301\u0308\u200d\ufe0f\u20e3\u{1f3fd}\u{e0061}',
  '🙂😀👍👨👩👧🏳🌈🇩🇪𠀀𝕳𐍈',
  '\0\u0001\u007f\u00ad\u2028\u2029\ufffd\ufdd0\uffff\u{10ffff}',
].map((characters) => [...characters]);
const CHUNKS = ["'s", "'LL", "'re", ' the', 'ing', '  ', '\n\n', '\r\n', '123', ' =', '...', '://', '<|eot_id|>', '<|'];

/** Texts of 0 to 60 parts, the same for a seed: of one alphabet or mixed, and of any code point. */
export function* randomTexts(count: number, seed: number): Generator<string> {
  const random = mulberry32(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  for (let index = 0; index < count; index++) {
    const mixed = random() < 0.7;
    const alphabet = ALPHABETS[below(ALPHABETS.length)]!;
    let text = '';
    for (let length = below(61); length > 0; length--) {
      const kind = random();
      const letters = mixed ? ALPHABETS[below(ALPHABETS.length)]! : alphabet;
      if (kind < 0.8) text += letters[below(letters.length)]!;
      else if (kind < 0.9) text += CHUNKS[below(CHUNKS.length)]!;
      else text += codePoint(below(0x110000));
    }
    yield text;
  }
}

/**
 * Of all planes, but for surrogates and for CJK extension J, new in Unicode 17, on which engines differ; both count as
 * U+FFFD.
 */
function codePoint(value: number): string {
  return value >= 0x323b0 && value <= 0x33479 ? '\ufffd' : String.fromCodePoint(value).toWellFormed();
}

/** Source: Tommy Ettinger, mulberry32, public domain. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}
