import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import * as b from '../test/builder.ts';
import { openGguf } from './open.ts';
import { openUrl } from './source-url.ts';

const URL_OF_FILE = 'https://example.org/small.gguf';

interface Server {
  readonly fetch: typeof fetch;
  /** Range and If-Match of each request. */
  readonly requests: [range: string | null, ifMatch: string | null][];
}

/** A server that honours ranges; `answer` may replace its response to the request of that number, from 0. */
function server(
  bytes: Uint8Array<ArrayBuffer>,
  etag: string | null = '"v1"',
  answer: (index: number) => Response | undefined = () => undefined,
): Server {
  const requests: Server['requests'] = [];
  return {
    requests,
    async fetch(_url, init) {
      init?.signal?.throwIfAborted();
      const headers = new Headers(init?.headers);
      const range = headers.get('Range')!;
      requests.push([range, headers.get('If-Match')]);
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range)!;
      const body = bytes.slice(Number(from), Number(to) + 1);
      const response = new Response(body, {
        status: 206,
        headers: { 'Content-Range': `bytes ${from}-${Number(from) + body.length - 1}/${bytes.length}` },
      });
      if (etag !== null) {
        response.headers.set('ETag', etag);
      }
      return answer(requests.length - 1) ?? response;
    },
  };
}

test('a URL reads as its bytes do, range by range, each for the same version of the file', async () => {
  const bytes = b.smallFile();
  const { fetch, requests } = server(bytes);
  const source = await openUrl(URL_OF_FILE, { fetch });
  expect(source).toMatchObject({ name: URL_OF_FILE, sizeBytes: bytes.length });
  const gguf = await openGguf(source);
  expect(await gguf.readTensor('norm')).toEqual(b.ramp(16));
  const { offsetBytes } = gguf.tensors.get('norm')!;
  expect(requests[0]).toEqual(['bytes=0-3', null]);
  expect(requests.at(-1)).toEqual([`bytes=${offsetBytes}-${offsetBytes + 15}`, '"v1"']);
});

test.each([
  ['a whole file', 'GGUF_NO_RANGES', new Response('GGUF', { status: 200 })],
  [
    'another range',
    'GGUF_NO_RANGES',
    new Response('GGUF', { status: 206, headers: { 'Content-Range': 'bytes 1-4/9' } }),
  ],
  [
    'an unknown size',
    'GGUF_NO_RANGES',
    new Response('G', { status: 206, headers: { 'Content-Range': 'bytes 0-3/*' } }),
  ],
  ['no Content-Range', 'GGUF_NO_RANGES', new Response('G', { status: 206 })],
  [
    'compression',
    'GGUF_NO_RANGES',
    new Response('GGUF', { status: 206, headers: { 'Content-Range': 'bytes 0-3/9', 'Content-Encoding': 'gzip' } }),
  ],
  ['an empty file', 'GGUF_NO_RANGES', new Response(null, { status: 416 })],
  ['not found', 'GGUF_HTTP_STATUS', new Response(null, { status: 404 })],
  ['forbidden', 'GGUF_HTTP_STATUS', new Response(null, { status: 403 })],
])('%s is refused at once: %s', async (_, code, response) => {
  const { fetch, requests } = server(b.smallFile(), '"v1"', () => response);
  await expect(openUrl(URL_OF_FILE, { fetch })).rejects.toMatchObject({ name: 'GgufError', code });
  expect(requests).toHaveLength(1);
});

test('a passing failure is tried again, and again, and then given up', async () => {
  const options = { retries: 2, retryDelayMs: 1 };
  const busy = (): Response => new Response(null, { status: 503 });
  const recovers = server(b.smallFile(), '"v1"', (index) => (index < 2 ? busy() : undefined));
  expect(await openUrl(URL_OF_FILE, { ...options, fetch: recovers.fetch })).toBeDefined();
  expect(recovers.requests).toHaveLength(3);
  const stays = server(b.smallFile(), '"v1"', busy);
  await expect(openUrl(URL_OF_FILE, { ...options, fetch: stays.fetch })).rejects.toMatchObject({
    code: 'GGUF_HTTP_STATUS',
  });
  expect(stays.requests).toHaveLength(3);
  const unreachable: typeof fetch = async () => {
    throw new TypeError('fetch failed');
  };
  await expect(openUrl(URL_OF_FILE, { ...options, fetch: unreachable })).rejects.toThrow('fetch failed');
});

test('a body that is cut short is tried again', async () => {
  const cut = new Response('', { status: 206, headers: { 'Content-Range': 'bytes 0-3/9' } });
  const { fetch } = server(b.smallFile(), '"v1"', (index) => (index === 0 ? cut : undefined));
  expect(await openUrl(URL_OF_FILE, { fetch, retryDelayMs: 1 })).toBeDefined();
});

test.each([
  ['its ETag', () => server(b.smallFile(), '"v2"')],
  ['its size', () => server(b.concat(b.smallFile(), new Uint8Array(1)))],
  ['412 says so', () => server(b.smallFile(), '"v1"', () => new Response(null, { status: 412 }))],
])('a file that changes while it is open is found out: %s', async (_, next) => {
  let current = server(b.smallFile());
  const source = await openUrl(URL_OF_FILE, { fetch: (...request) => current.fetch(...request) });
  current = next();
  await expect(source.read(0, 4)).rejects.toMatchObject({ code: 'GGUF_SOURCE_CHANGED' });
});

test('a weak ETag proves nothing and is not sent', async () => {
  const { fetch, requests } = server(b.smallFile(), 'W/"v1"');
  await (await openUrl(URL_OF_FILE, { fetch })).read(0, 4);
  expect(requests.at(-1)).toEqual(['bytes=0-3', null]);
});

test('an abort rejects with its reason, also while waiting to try again', async () => {
  const source = await openUrl(URL_OF_FILE, { fetch: server(b.smallFile()).fetch });
  await expect(source.read(0, 4, AbortSignal.abort('stop'))).rejects.toBe('stop');
  const controller = new AbortController();
  const { fetch } = server(b.smallFile(), '"v1"', () => {
    queueMicrotask(() => setTimeout(() => controller.abort('enough'), 5));
    return new Response(null, { status: 503 });
  });
  const opening = openUrl(URL_OF_FILE, { fetch, retryDelayMs: 1_000_000, signal: controller.signal });
  await expect(opening).rejects.toBe('enough');
});

test('headers are sent; a bad URL and unknown options are TypeErrors', async () => {
  let sent: string | null = null;
  const { fetch } = server(b.smallFile());
  await openUrl(URL_OF_FILE, {
    headers: { Authorization: 'Bearer x' },
    fetch(url, init) {
      sent = new Headers(init?.headers).get('Authorization');
      return fetch(url, init);
    },
  });
  expect(sent).toBe('Bearer x');
  await expect(openUrl('not a url')).rejects.toThrow(TypeError);
  // @ts-expect-error -- a misspelt option
  await expect(openUrl(URL_OF_FILE, { retry: 1 })).rejects.toThrow(/retry/);
});

test('a real server, and the platform’s fetch', async () => {
  const bytes = b.smallFile();
  const http = createServer((request, response) => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range!)!.map(Number);
    response.writeHead(206, { 'Content-Range': `bytes ${from}-${to}/${bytes.length}`, ETag: '"real"' });
    response.end(bytes.subarray(from, to! + 1));
  });
  await new Promise<void>((resolve) => {
    http.listen(0, '127.0.0.1', resolve);
  });
  const { port } = http.address() as AddressInfo;
  try {
    const gguf = await openGguf(await openUrl(`http://127.0.0.1:${port}/small.gguf`));
    expect(await gguf.readTensor('weights')).toEqual(b.ramp(128).subarray(32));
  } finally {
    http.closeAllConnections();
    http.close();
  }
});
