#!/usr/bin/env python3
"""Write a synthetic BitNet GGUF: random ternary weights, real structure, the same bytes for the same options.

    python3 make_model.py OUT.gguf                                    # the `tiny` shape, I2_S, arch bitnet-b1.58
    python3 make_model.py OUT.gguf --arch bitnet --packing tq2_0      # for mainline llama.cpp
    python3 make_model.py OUT.gguf --shape 2b4t --tokenizer tokenizer.json --pre none --seed 2
    python3 make_model.py OUT.gguf --layers 2 --hidden 640 --heads 5 --kv-heads 1 --ffn 1536 --vocab-size 600

Every packing holds the same ternary codes and scales for the same seed; F16 and TQ2_0 round the scale to f16.
Randomness is numpy's SFC64, drawn in the order in which tensors are written, so a different layer count changes only
what follows. Section numbers refer to ../../docs/numerics.md.
"""
import argparse
import json
import re
import struct
import numpy as np

# GGUF value types (section 1) and tensor types (section 1.1)
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
TENSOR_F32, TENSOR_F16, TENSOR_TQ2_0, TENSOR_I2_S, TENSOR_TL1 = 0, 1, 35, 36, 38
ALIGNMENT = 32

PACKINGS = {  # option -> (tensor type of the linear layers, general.file_type)
    "i2_s-128x32": (TENSOR_I2_S, 40), "i2_s-64x16": (TENSOR_I2_S, 40), "tl1": (TENSOR_TL1, 38),
    "f32": (TENSOR_F32, 0), "f16": (TENSOR_F16, 1), "tq2_0": (TENSOR_TQ2_0, 37),
}
SHAPES = {
    "tiny": dict(layers=4, hidden=256, heads=4, kv_heads=2, ffn=768, vocab_size=512, context=1024, rope_base=500000.0),
    "2b4t": dict(layers=30, hidden=2560, heads=20, kv_heads=5, ffn=6912, vocab_size=128256, context=4096, rope_base=500000.0),
}
# How strongly each projection amplifies a unit-variance input; chosen so that activations stay lively over 30 layers.
GAIN = {"attn_q": 1.4, "attn_k": 1.4, "attn_v": 1.0, "attn_output": 0.7, "ffn_gate": 1.0, "ffn_up": 1.0, "ffn_down": 0.7}
ZERO_FRACTION = 0.42            # share of zero weights, about that of the released 2B model

SPECIAL_TOKENS = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>",
                  "<|reserved_special_token_2|>", "<|reserved_special_token_3|>", "<|start_header_id|>", "<|end_header_id|>",
                  "<|reserved_special_token_4|>", "<|eot_id|>"]
CHAT_TEMPLATE = ("{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}{% if message['role'] == 'user' %}"
                 "{{ 'Human: ' + message['content'] + '\\n\\nBITNETAssistant: ' + eos_token }}{% elif message['role'] == 'assistant' %}"
                 "{{ message['content'] + eos_token }}{% endif %}{% endfor %}")
CORPUS = (  # what the small vocabularies' merges are learned from
    "The capital of France is Paris. Once upon a time, in a small village by the sea, there lived an old fisherman. "
    "Every morning he went out in his boat and every evening he came home with the tide. What is the answer to the question? "
    "def fib(n):\n    if n < 2:\n        return n\n    return fib(n - 1) + fib(n - 2)\n\nfor i in range(10):\n    print(fib(i))\n"
    "The quick brown fox jumps over the lazy dog. It was the best of times, it was the worst of times. In 2024, 1234 people and 567 dogs. "
    "User: What is 2 + 2? Assistant: 2 + 2 is 4. I don't think that's right, it's what we've said they'll do. Hello world! "
    "All happy families are alike; every unhappy family is unhappy in its own way. To be, or not to be, that is the question. ")
PRE_TOKEN = re.compile(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]{1,3}| ?[^\sA-Za-z0-9]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


# ---------------------------------------------------------------------------------------------- vocabulary (section 8)
def byte_to_unicode():
    """GPT-2's reversible map from each byte to a printable character, in the order in which it lists the bytes."""
    printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    pairs = [(byte, chr(byte)) for byte in printable]
    hidden = [byte for byte in range(256) if byte not in printable]
    return dict(pairs + [(byte, chr(256 + i)) for i, byte in enumerate(hidden)])


def train_bpe(token_count):
    """Byte-pair merges learned from CORPUS until there are `token_count` tokens or nothing is left to merge."""
    byte_char = byte_to_unicode()
    words = {}
    for word in PRE_TOKEN.findall(CORPUS):
        pieces = tuple(byte_char[b] for b in word.encode())
        words[pieces] = words.get(pieces, 0) + 1
    tokens, merges = list(byte_char.values()), []
    while len(tokens) < token_count:
        counts = {}
        for pieces, count in words.items():
            for pair in zip(pieces, pieces[1:]):
                counts[pair] = counts.get(pair, 0) + count
        if not counts:
            break
        (left, right), _ = min(counts.items(), key=lambda item: (-item[1], item[0]))
        merges.append(left + " " + right)
        if left + right not in tokens:
            tokens.append(left + right)
        merged_words = {}
        for pieces, count in words.items():
            out, i = [], 0
            while i < len(pieces):
                step = 2 if pieces[i:i + 2] == (left, right) else 1
                out.append("".join(pieces[i:i + step]))
                i += step
            merged_words[tuple(out)] = merged_words.get(tuple(out), 0) + count
        words = merged_words
    return tokens, merges


def small_vocabulary(vocab_size):
    """(tokens, token types, merges, id of BOS); special tokens stand at the end, more of them if merges run out."""
    tokens, merges = train_bpe(vocab_size - len(SPECIAL_TOKENS))
    bos = len(tokens)
    tokens = tokens + SPECIAL_TOKENS + [f"<|reserved_special_token_{5 + i}|>" for i in range(vocab_size - len(SPECIAL_TOKENS) - bos)]
    return tokens, [1] * bos + [3] * (vocab_size - bos), merges, bos


def tokenizer_json_vocabulary(path, vocab_size):
    """The same from a Hugging Face tokenizer.json (LLaMA 3: 128,000 pieces, then 256 special tokens)."""
    with open(path, encoding="utf-8") as file:
        model = json.load(file)
    tokens = [None] * vocab_size
    for token, index in model["model"]["vocab"].items():
        tokens[index] = token
    bos = min(added["id"] for added in model["added_tokens"])
    for added in model["added_tokens"]:
        tokens[added["id"]] = added["content"]
    if None in tokens:
        raise SystemExit(f"tokenizer.json leaves id {tokens.index(None)} of {vocab_size} without a token")
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["model"]["merges"]]
    return tokens, [1] * bos + [3] * (vocab_size - bos), merges, bos


# ------------------------------------------------------------------------------------------------ weights and packings
def code_byte_table(zero_fraction):
    """65,536 uniform values -> one byte of four independent 2-bit codes 0, 1, 2 (for -1, 0, +1)."""
    p = np.array([(1 - zero_fraction) / 2, zero_fraction, (1 - zero_fraction) / 2])
    codes, probabilities = [], []
    for a, b, c, d in np.ndindex(3, 3, 3, 3):
        codes.append(a << 6 | b << 4 | c << 2 | d)
        probabilities.append(p[a] * p[b] * p[c] * p[d])
    upper = np.floor(np.cumsum(probabilities) * 65536 + 0.5).astype(int)
    upper[-1] = 65536
    return np.repeat(np.array(codes, np.uint8), np.diff(np.concatenate([[0], upper])))


def unpack_128x32(packed, rows, columns):
    """I2_S 128/32 bytes -> codes 0..2, [rows, columns] uint8 (section 2)."""
    shifts = np.array([6, 4, 2, 0], np.uint8).reshape(1, 1, 4, 1)
    return ((packed.reshape(rows, columns // 128, 1, 32) >> shifts) & 3).reshape(rows, columns)


def pack_64x16(codes):
    """Codes -> I2_S 64/16: 64 weights in 16 bytes; byte p holds weights p, 16+p, 32+p, 48+p, highest bits first (section 2)."""
    group = codes.reshape(codes.shape[0], -1, 4, 16)
    return (group[:, :, 0] << 6 | group[:, :, 1] << 4 | group[:, :, 2] << 2 | group[:, :, 3]).reshape(-1)


def pack_tl1(codes, tiling):
    """Codes -> TL1: column pairs as one nibble 3*a + b + 4 (a, b in -1..1), at the address of section 4."""
    rows, columns = codes.shape
    tile_rows, tile_columns, inner_rows = tiling                     # BM, BBK, bm
    ternary = codes.astype(np.int8) - 1
    nibbles = (3 * ternary[:, 0::2] + ternary[:, 1::2] + 4).astype(np.uint8)
    m, j = np.meshgrid(np.arange(rows), np.arange(columns // 2), indexing="ij")
    by = 256 // inner_rows
    tile, r = m // tile_rows, m % tile_rows
    block, rr = r // inner_rows, r % inner_rows
    k_tile, k = j // (tile_columns // 2), j % (tile_columns // 2)
    k_block, k2 = k // (by // 2), k % (by // 2)
    address = tile * (columns // tile_columns) + k_tile
    address = address * (tile_rows // inner_rows) + block
    address = address * (tile_columns // by) + k_block
    address = address * (inner_rows // 16) + rr // 16
    address = (address * (by // 4) + k2 // 2) * 16 + rr % 16
    packed = np.zeros(rows * columns // 4, np.uint8)
    np.bitwise_or.at(packed, address.ravel(), np.where(k2 % 2 == 0, nibbles << 4, nibbles).ravel().astype(np.uint8))
    return packed


def pack_tq2_0(codes, scale):
    """Codes -> ggml TQ2_0 (type 35), which mainline llama.cpp reads.

    A block is 256 consecutive weights of a row in 66 bytes: 64 bytes of codes, then the block's scale as f16.
    The first 32 bytes hold weights 0..127 and the next 32 weights 128..255. Within such a half, byte m holds the weights
    m, 32+m, 64+m, 96+m, the first in the LOWEST two bits (I2_S has it in the highest). Codes mean -1, 0, +1 as in I2_S.
    A scale per block repeats the tensor's one scale here. Columns must be a multiple of 256.
    """
    half = codes.reshape(-1, 2, 4, 32)
    blocks = np.zeros((half.shape[0], 66), np.uint8)
    blocks[:, :64] = (half[:, :, 0] | half[:, :, 1] << 2 | half[:, :, 2] << 4 | half[:, :, 3] << 6).reshape(-1, 64)
    blocks[:, 64:] = np.frombuffer(struct.pack("<e", np.float16(scale)), np.uint8)
    return blocks.reshape(-1)


def random_linear(rng, rows, columns, gain, packing, tiling):
    """One linear layer [rows, columns]: random codes, one scale, in the bytes of `packing`."""
    scale = np.float32(gain / np.sqrt(columns * 0.58) * (1 + 0.2 * rng.random()))
    packed = code_byte_table(ZERO_FRACTION)[rng.integers(0, 65536, rows * columns // 4, dtype=np.uint16)]
    if packing in ("f32", "f16", "tq2_0"):
        codes = unpack_128x32(packed, rows, columns)
        if packing == "tq2_0":
            return pack_tq2_0(codes, scale)
        return ((codes.astype(np.float32) - 1) * scale).astype("<f4" if packing == "f32" else "<f2")
    if packing == "i2_s-64x16":
        packed = pack_64x16(unpack_128x32(packed, rows, columns))
    elif packing == "tl1":
        packed = pack_tl1(unpack_128x32(packed, rows, columns), tiling[f"{rows}x{columns}"])
    trailer = np.zeros(32, np.uint8)                                 # section 1.2: f32 scale, then 28 unused bytes
    trailer[:4] = np.frombuffer(struct.pack("<f", scale), np.uint8)
    return np.concatenate([packed, trailer])


# ---------------------------------------------------------------------------------------------------------- GGUF writer
def gguf_string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def gguf_value(kind, value):
    if kind == STRING:
        return gguf_string(value)
    if kind == ARRAY:
        element, values = value
        head = struct.pack("<IQ", element, len(values))
        if element == STRING:
            return head + b"".join(map(gguf_string, values))
        return head + np.asarray(values, {F32: "<f4", I32: "<i4"}[element]).tobytes()
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], value)


def tensor_bytes(dims, kind):
    count = int(np.prod(dims, dtype=np.int64))
    return {TENSOR_F32: count * 4, TENSOR_F16: count * 2, TENSOR_TQ2_0: count // 256 * 66,
            TENSOR_I2_S: count // 4 + 32, TENSOR_TL1: count // 4 + 32}[kind]


def padding(length):
    return b"\0" * (-length % ALIGNMENT)


def write_gguf(path, metadata, tensors):
    """metadata: (key, type, value); tensors: (name, ggml dims innermost first, type, function that gives the data)."""
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    header += b"".join(gguf_string(key) + struct.pack("<I", kind) + gguf_value(kind, value) for key, kind, value in metadata)
    offset = 0
    for name, dims, kind, _ in tensors:
        header += gguf_string(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims) + struct.pack("<IQ", kind, offset)
        offset += -(-tensor_bytes(dims, kind) // ALIGNMENT) * ALIGNMENT
    with open(path, "wb") as file:
        file.write(header + padding(len(header)))
        for name, dims, kind, make in tensors:
            data = np.ascontiguousarray(make())
            assert data.nbytes == tensor_bytes(dims, kind), name
            file.write(data)
            file.write(padding(data.nbytes))


# ---------------------------------------------------------------------------------------------------------------- model
def metadata_of(o, vocabulary):
    """Keys in the order of the official 2B file (section 7)."""
    tokens, types, merges, bos = vocabulary
    key = lambda name: f"{o.arch}.{name}"
    rows = [("general.architecture", STRING, o.arch), ("general.name", STRING, o.name),
            (key("vocab_size"), U32, o.vocab_size), (key("context_length"), U32, o.context), (key("embedding_length"), U32, o.hidden),
            (key("block_count"), U32, 0 if o.vocab_only else o.layers), (key("feed_forward_length"), U32, o.ffn),
            (key("rope.dimension_count"), U32, o.hidden // o.heads), (key("attention.head_count"), U32, o.heads),
            (key("attention.head_count_kv"), U32, o.kv_heads), ("tokenizer.ggml.add_bos_token", BOOL, True),
            (key("attention.layer_norm_rms_epsilon"), F32, 1e-5), (key("rope.freq_base"), F32, o.rope_base),
            ("general.file_type", U32, PACKINGS[o.packing][1]), ("tokenizer.ggml.model", STRING, "gpt2")]
    if o.pre != "none":
        rows.append(("tokenizer.ggml.pre", STRING, o.pre))
    rows += [("tokenizer.ggml.tokens", ARRAY, (STRING, tokens)), ("tokenizer.ggml.scores", ARRAY, (F32, np.zeros(len(tokens)))),
             ("tokenizer.ggml.token_type", ARRAY, (I32, types)), ("tokenizer.ggml.merges", ARRAY, (STRING, merges)),
             ("tokenizer.ggml.bos_token_id", U32, bos), ("tokenizer.ggml.eos_token_id", U32, bos + 1),
             ("tokenizer.ggml.padding_token_id", U32, bos + 1), ("tokenizer.chat_template", STRING, CHAT_TEMPLATE),
             ("general.quantization_version", U32, 2)]
    if o.arch == "bitnet":
        rows += [(key("rope.scaling.type"), STRING, "linear"), (key("rope.scaling.factor"), F32, 1.0)]
    return rows


def tensors_of(o):
    rng = np.random.Generator(np.random.SFC64(o.seed))

    def norm(width):
        return lambda: (1.0 + 0.1 * rng.standard_normal(width, dtype=np.float32)).astype("<f4")

    def embedding():
        """f16 [vocab, hidden]: drawn from a table of 65,536 normal values, in chunks of 2^24."""
        table = (np.random.Generator(np.random.SFC64(o.seed + 7)).standard_normal(65536) * (2.5 / np.sqrt(o.hidden))).astype("<f2")
        total, chunk = o.vocab_size * o.hidden, 1 << 24
        return np.concatenate([table[rng.integers(0, 65536, min(chunk, total - i), dtype=np.uint16)] for i in range(0, total, chunk)])

    kind = PACKINGS[o.packing][0]
    kv = o.hidden // o.heads * o.kv_heads

    def linear(name, columns, rows):
        return (columns, rows), kind, lambda: random_linear(rng, rows, columns, GAIN[name] * o.gain, o.packing, o.tiling)

    def vector(width):
        return (width,), TENSOR_F32, norm(width)

    tensors = [("token_embd.weight", (o.hidden, o.vocab_size), TENSOR_F16, embedding)]
    for layer in range(o.layers):
        for name, what in (
                ("attn_norm", vector(o.hidden)), ("ffn_down", linear("ffn_down", o.ffn, o.hidden)), ("ffn_sub_norm", vector(o.ffn)),
                ("ffn_gate", linear("ffn_gate", o.hidden, o.ffn)), ("ffn_up", linear("ffn_up", o.hidden, o.ffn)),
                ("ffn_norm", vector(o.hidden)), ("attn_sub_norm", vector(o.hidden)), ("attn_k", linear("attn_k", o.hidden, kv)),
                ("attn_output", linear("attn_output", o.hidden, o.hidden)), ("attn_q", linear("attn_q", o.hidden, o.hidden)),
                ("attn_v", linear("attn_v", o.hidden, kv))):
            tensors.append((f"blk.{layer}.{name}.weight", *what))
    tensors.append(("output_norm.weight", *vector(o.hidden)))
    return [] if o.vocab_only else tensors


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--shape", choices=SHAPES, default="tiny", help="starting values for the numbers below")
    for name in ("layers", "hidden", "heads", "kv-heads", "ffn", "vocab-size", "context"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--rope-base", type=float)
    parser.add_argument("--arch", choices=["bitnet-b1.58", "bitnet-25", "bitnet"], default="bitnet-b1.58")
    parser.add_argument("--packing", choices=PACKINGS, default="i2_s-128x32")
    parser.add_argument("--tl1-tiling", help='JSON file {"MxK": [BM, BBK, bm], ...} for --packing tl1')
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gain", type=float, default=1.0, help="multiplies every weight scale")
    parser.add_argument("--pre", default="llama-bpe", help="tokenizer.ggml.pre; 'none' leaves the key out")
    parser.add_argument("--tokenizer", help="tokenizer.json; without it a small vocabulary is trained")
    parser.add_argument("--name", help="general.name")
    parser.add_argument("--vocab-only", action="store_true", help="no tensors, 0 layers: for tokenizer tests")
    o = parser.parse_args()
    for name, value in SHAPES[o.shape].items():
        if getattr(o, name) is None:
            setattr(o, name, o.heads if name == "kv_heads" and o.arch == "bitnet" else value)
    o.name = o.name or {"tiny": "tiny-bitnet", "2b4t": "bitnet2b"}[o.shape]
    o.tiling = None
    if o.packing == "tl1":
        with open(o.tl1_tiling, encoding="utf-8") as file:
            o.tiling = json.load(file)
    return o


def main():
    o = parse_options()
    vocabulary = tokenizer_json_vocabulary(o.tokenizer, o.vocab_size) if o.tokenizer else small_vocabulary(o.vocab_size)
    write_gguf(o.out, metadata_of(o, vocabulary), tensors_of(o))


if __name__ == "__main__":
    main()
