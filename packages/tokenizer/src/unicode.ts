// Character classes as the reference has them, for regular expressions with the `v` flag.
//
// The reference's tables are those of Unicode 15.1 (llama.cpp src/unicode-data.cpp, read in Eddie-Wang1120/llama.cpp at
// 406a503), whereas \p{L} means what the JavaScript engine's Unicode says. Letters, numbers and punctuation that came
// with Unicode 16 and 17 are therefore taken out again: to the reference they are unassigned, which is none of the
// three. `unicode.test.ts` compares all code points with the tables and so tells when an engine knows Unicode 18.
const LATER_LETTERS = String.raw`\u{88f}\u{c5c}\u{cdc}\u{1c89}-\u{1c8a}\u{a7cb}-\u{a7cf}\u{a7d2}\u{a7d4}\u{a7da}-\u{a7dc}\u{a7f1}\u{105c0}-\u{105f3}\u{10940}-\u{10959}\u{10d4a}-\u{10d65}\u{10d6f}-\u{10d85}\u{10ec2}-\u{10ec7}\u{11380}-\u{11389}\u{1138b}\u{1138e}\u{11390}-\u{113b5}\u{113b7}\u{113d1}\u{113d3}\u{11bc0}-\u{11be0}\u{11db0}-\u{11ddb}\u{13460}-\u{143fa}\u{16100}-\u{1611d}\u{16d40}-\u{16d6c}\u{16ea0}-\u{16eb8}\u{16ebb}-\u{16ed3}\u{16ff2}-\u{16ff3}\u{187f8}-\u{187ff}\u{18cff}\u{18d09}-\u{18d1e}\u{18d80}-\u{18df2}\u{1e5d0}-\u{1e5ed}\u{1e5f0}\u{1e6c0}-\u{1e6de}\u{1e6e0}-\u{1e6e2}\u{1e6e4}-\u{1e6e5}\u{1e6e7}-\u{1e6ed}\u{1e6f0}-\u{1e6f4}\u{1e6fe}-\u{1e6ff}\u{2b73a}-\u{2b73f}\u{2cea2}-\u{2cead}\u{323b0}-\u{33479}`;
const LATER_NUMBERS = String.raw`\u{10d40}-\u{10d49}\u{116d0}-\u{116e3}\u{11bf0}-\u{11bf9}\u{11de0}-\u{11de9}\u{16130}-\u{16139}\u{16d70}-\u{16d79}\u{16ff4}-\u{16ff6}\u{1ccf0}-\u{1ccf9}\u{1e5f1}-\u{1e5fa}`;
const LATER_PUNCTUATION = String.raw`\u{1b4e}-\u{1b4f}\u{1b7f}\u{10d6e}\u{10ed0}\u{113d4}-\u{113d5}\u{113d7}-\u{113d8}\u{11be1}\u{16d6d}-\u{16d6f}\u{1e5ff}`;

/** `\p{L}` */
export const LETTER: string = String.raw`[\p{L}--[${LATER_LETTERS}]]`;
/** `\p{N}` */
export const NUMBER: string = String.raw`[\p{N}--[${LATER_NUMBERS}]]`;
/** `\p{P}` */
export const PUNCTUATION: string = String.raw`[\p{P}--[${LATER_PUNCTUATION}]]`;
/** `\s` of the reference: with U+0085, without U+FEFF, so not JavaScript's. */
export const WHITESPACE: string = String.raw`\p{White_Space}`;
