import { GgufError, refuseUnknownOptions } from './errors.ts';
import type { GgufSource } from './source.ts';
import { checkRange } from './source.ts';
import { joinSources, shardNames } from './split.ts';

export interface OpenUrlOptions {
  /** Sent with every request: an Authorization, for instance. */
  headers?: Readonly<Record<string, string>>;
  /** Default: the global one. */
  fetch?: typeof fetch;
  /** How often a request that failed for a passing reason is sent again. Default 3. */
  retries?: number;
  /** Wait before the first of them, doubled before each further one. Default 500. */
  retryDelayMs?: number;
  /** Rejects with `signal.reason`. Default: none. */
  signal?: AbortSignal | undefined;
}

/** What must not change between two reads. */
interface Identity {
  readonly sizeBytes: number;
  /** A strong entity tag, or null. A weak one, or a date, may stay the same though bytes change. */
  readonly etag: string | null;
}

interface Remote {
  readonly url: string;
  readonly fetch: typeof fetch;
  readonly headers: Readonly<Record<string, string>>;
  readonly retries: number;
  readonly retryDelayMs: number;
}

/** Bytes per request: what is lost when one fails. */
const CHUNK_BYTES = 16 * 2 ** 20;

/** The first request's: the magic. Not one byte, because servers are in use (sirv, in Vite) that take `0-0` for `0-`. */
const PROBE_BYTES = 4;

/** Statuses that may pass: timeout, too many requests, and the server's own troubles. */
const PASSING_STATUSES = new Set([408, 425, 429, 500, 502, 503, 504]);

/**
 * A source over HTTP, read by ranges; nothing is kept. The URL of any file of a split model opens all of them.
 *
 * The server must honour ranges: 206 with a Content-Range. If it has a strong ETag, every read asks for the same file
 * (If-Match) and checks it; without one, only its size is checked.
 *
 * @throws GgufError GGUF_HTTP_STATUS, GGUF_NO_RANGES, GGUF_SOURCE_CHANGED; fetch's TypeError if it stays unreachable
 */
export async function openUrl(url: string | URL, options: OpenUrlOptions = {}): Promise<GgufSource> {
  const { headers = {}, fetch: ownFetch, retries = 3, retryDelayMs = 500, signal, ...unknown } = options;
  refuseUnknownOptions(unknown, 'headers, fetch, retries, retryDelayMs, signal');
  // A Request checks the URL: a bad one is the caller's TypeError now, not a failure to try again.
  const { url: absolute } = new Request(String(url));
  // Not the function itself: a browser's refuses to be called as a method of another object.
  const fetchAny: typeof fetch = ownFetch ?? ((...args) => globalThis.fetch(...args));
  const remote = { headers, fetch: fetchAny, retries, retryDelayMs };
  const urls = shardNames(absolute);
  if (urls === undefined) {
    return openRemote({ ...remote, url: absolute }, signal);
  }
  return joinSources(await Promise.all(urls.map((part) => openRemote({ ...remote, url: part }, signal))));
}

async function openRemote(remote: Remote, signal: AbortSignal | undefined): Promise<GgufSource> {
  const { identity } = await request(remote, 0, PROBE_BYTES, undefined, signal);
  return {
    name: remote.url,
    sizeBytes: identity.sizeBytes,
    async read(offsetBytes, lengthBytes, readSignal) {
      checkRange(offsetBytes, lengthBytes, identity.sizeBytes);
      const bytes = new Uint8Array(lengthBytes);
      for (let at = 0; at < lengthBytes; at += CHUNK_BYTES) {
        const wanted = Math.min(CHUNK_BYTES, lengthBytes - at);
        bytes.set((await request(remote, offsetBytes + at, wanted, identity, readSignal)).bytes, at);
      }
      return bytes;
    },
  };
}

/** One range, asked for again while the reason for a failure may pass. */
async function request(
  remote: Remote,
  offsetBytes: number,
  lengthBytes: number,
  known: Identity | undefined,
  signal: AbortSignal | undefined,
): Promise<{ bytes: Uint8Array; identity: Identity }> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await requestOnce(remote, offsetBytes, lengthBytes, known, signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (attempt >= remote.retries || !mayPass(error)) {
        throw error;
      }
    }
    await wait(remote.retryDelayMs * 2 ** attempt, signal);
  }
}

/** A status in question, a body cut short, or fetch's own TypeError: no connection, or one that broke. */
function mayPass(error: unknown): boolean {
  return error instanceof PassingFailure || error instanceof TypeError;
}

class PassingFailure extends GgufError {}

async function requestOnce(
  remote: Remote,
  offsetBytes: number,
  lengthBytes: number,
  known: Identity | undefined,
  signal: AbortSignal | undefined,
): Promise<{ bytes: Uint8Array; identity: Identity }> {
  const endBytes = offsetBytes + lengthBytes;
  const headers = new Headers(remote.headers);
  headers.set('Range', `bytes=${offsetBytes}-${endBytes - 1}`);
  if (known?.etag) {
    headers.set('If-Match', known.etag);
  }
  const response = await remote.fetch(remote.url, { headers, signal: signal ?? null });
  try {
    const identity = identityOf(remote.url, response, offsetBytes, endBytes);
    if (known !== undefined && (identity.sizeBytes !== known.sizeBytes || identity.etag !== known.etag)) {
      throw changed(remote.url);
    }
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (bytes.byteLength !== lengthBytes) {
      const what = `${remote.url} gave ${bytes.byteLength} of ${lengthBytes} bytes at byte ${offsetBytes}`;
      throw new PassingFailure('GGUF_SHORT_READ', `${what}. Try again.`);
    }
    return { bytes, identity };
  } finally {
    // After an error the body is unread, and may be the whole file.
    if (!response.bodyUsed) {
      await response.body?.cancel();
    }
  }
}

/** Checks that the response is exactly the range asked for. */
function identityOf(url: string, response: Response, offsetBytes: number, endBytes: number): Identity {
  const { status } = response;
  if (status === 412) {
    throw changed(url);
  }
  if (PASSING_STATUSES.has(status)) {
    throw new PassingFailure('GGUF_HTTP_STATUS', `${url} answered ${status} each time. Try again later.`);
  }
  if (status === 200) {
    throw noRanges(url, 'it answered 200 with the whole file');
  }
  if (status === 416) {
    throw noRanges(url, 'it has no byte in the range asked for; an empty file?');
  }
  if (status !== 206) {
    throw new GgufError('GGUF_HTTP_STATUS', `${url} answered ${status}. Check the URL and your access to it.`);
  }
  const range = response.headers.get('Content-Range');
  const [, from, to, size] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(range ?? '') ?? [];
  if (!(Number(from) === offsetBytes && Number(to) === endBytes - 1 && Number.isSafeInteger(Number(size)))) {
    const what = `its Content-Range is ${range ?? 'missing (a server of another origin must expose it)'}`;
    throw noRanges(url, `${what} for bytes ${offsetBytes} to ${endBytes - 1}`);
  }
  const encoding = response.headers.get('Content-Encoding') ?? 'identity';
  if (encoding !== 'identity') {
    throw noRanges(url, `it compresses the answer (${encoding})`);
  }
  const etag = response.headers.get('ETag');
  return { sizeBytes: Number(size), etag: etag?.startsWith('"') ? etag : null };
}

function noRanges(url: string, why: string): GgufError {
  const advice = 'Use a server that honours Range requests, or download the file and open that.';
  return new GgufError('GGUF_NO_RANGES', `${url} cannot be read by ranges: ${why}. ${advice}`);
}

function changed(url: string): GgufError {
  const what = `${url} is not the file any more that was opened: its ETag or size has changed`;
  return new GgufError('GGUF_SOURCE_CHANGED', `${what}. Open it again.`);
}

async function wait(durationMs: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  const { promise, resolve } = Promise.withResolvers<void>();
  const wake = (): void => resolve();
  const timer = setTimeout(wake, durationMs);
  signal?.addEventListener('abort', wake);
  await promise;
  signal?.removeEventListener('abort', wake);
  clearTimeout(timer);
  signal?.throwIfAborted();
}
