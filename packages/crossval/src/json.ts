export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** A number as JSON can hold it: NaN, infinities and -0 as text. */
export function jsonNumber(value: number): number | string {
  if (Object.is(value, -0)) return '-0';
  return Number.isFinite(value) ? value : String(value);
}
