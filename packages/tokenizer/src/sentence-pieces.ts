/** What SentencePiece writes for a space. */
export const SPACE = '▁';

/** The token of a byte that no piece covers, `<0x0A>`. */
export function byteToken(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
}

/**
 * SentencePiece's BPE: of all neighbours that together are a token, those with the best score are joined first, the
 * leftmost on ties, until none are left. What then is no token becomes the tokens of its bytes.
 *
 * Source: llama.cpp src/llama-vocab.cpp, llm_tokenizer_spm_session. It undoes joins whose result is no token
 * (resegment); joins are made of tokens only, so that never happens.
 *
 * @param plainIds - ids of the tokens that ordinary text can become
 * @param scores - by id
 * @param unknownId - for a byte without a token
 * @returns appends the ids of a text, in which spaces are written ▁. O(n log n).
 */
export function sentencePieceEncoder(
  plainIds: ReadonlyMap<string, number>,
  scores: Float32Array,
  unknownId: number | undefined,
): (text: string, out: number[]) => void {
  return (text, out) => {
    const pieces: (string | undefined)[] = [...text];
    const left = Int32Array.from(pieces, (_, index) => index - 1);
    const right = Int32Array.from(pieces, (_, index) => (index + 1 < pieces.length ? index + 1 : -1));
    const queue = new JoinQueue();
    for (let index = 1; index < pieces.length; index++) offer(index - 1, index);

    for (let join = queue.pop(); join !== undefined; join = queue.pop()) {
      const first = pieces[join.left];
      const second = pieces[join.right];
      // One of the two has been joined with another neighbour since.
      if (first === undefined || second === undefined || first.length + second.length !== join.length) continue;
      pieces[join.left] = first + second;
      pieces[join.right] = undefined;
      const next = right[join.right]!;
      right[join.left] = next;
      if (next >= 0) left[next] = join.left;
      offer(left[join.left]!, join.left);
      offer(join.left, next);
    }
    for (const piece of pieces) {
      if (piece !== undefined) pushPiece(piece, out);
    }

    function offer(leftIndex: number, rightIndex: number): void {
      if (leftIndex < 0 || rightIndex < 0) return;
      const joined = pieces[leftIndex]! + pieces[rightIndex]!;
      const id = plainIds.get(joined);
      if (id !== undefined) {
        queue.push({ left: leftIndex, right: rightIndex, score: scores[id]!, length: joined.length });
      }
    }
  };

  function pushPiece(piece: string, out: number[]): void {
    const id = plainIds.get(piece);
    if (id !== undefined) {
      out.push(id);
      return;
    }
    for (const byte of utf8.encode(piece)) {
      const byteId = plainIds.get(byteToken(byte)) ?? unknownId;
      if (byteId !== undefined) out.push(byteId);
    }
  }
}

const utf8 = new TextEncoder();

interface Join {
  readonly left: number;
  readonly right: number;
  readonly score: number;
  /** Of both pieces together, in UTF-16 units; another one means that a piece has changed since. */
  readonly length: number;
}

/** A binary heap: best score first, then leftmost. */
class JoinQueue {
  readonly #heap: Join[] = [];

  push(join: Join): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(join);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!goesBefore(join, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = join;
  }

  pop(): Join | undefined {
    const heap = this.#heap;
    const best = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return best;
    let index = 0;
    for (let child = 1; child < heap.length; child = 2 * index + 1) {
      if (child + 1 < heap.length && goesBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!goesBefore(heap[child]!, last)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
    return best;
  }
}

function goesBefore(a: Join, b: Join): boolean {
  return a.score > b.score || (a.score === b.score && a.left < b.left);
}
