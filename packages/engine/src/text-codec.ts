/** What the engine wants of a tokenizer for text; those of `@bittern/tokenizer` are one. */
export interface TextCodec {
  /** Ids after which a generation ends. */
  readonly eogIds: ReadonlySet<number>;
  encode(text: string): number[];
  /** Turns ids into text one by one, and never gives half a character. */
  decodeStream(options: { readonly skipSpecial: boolean }): { push(id: number): string; flush(): string };
}
