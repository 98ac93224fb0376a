#!/usr/bin/env python3
"""Write the engine's oracle vectors: small random models, and the digests of what the oracle computes from them.

    python3 tools/oracle/make-vectors.py packages/engine/test/vectors

For each model NAME.gguf and NAME.json; packages/engine/test/vectors/README.md describes both. The same bytes each run.
"""
import hashlib
import json
import os
import subprocess
import sys
import numpy as np
from oracle import Model

HERE = os.path.dirname(os.path.abspath(__file__))
LANES = {"avx512": 16, "avx2": 8}
MODES = ("batch-all", "batch-last", "sequential")
VOCAB_SIZE = 320
CONTEXT = 576
GREEDY = 8
PROMPTS = {"one": 1, "few": 6, "batch-33": 33, "batch-513": 513, "batch-530": 530}   # name -> length
SHORT = ("one", "few", "batch-33")

# name -> (options of make_model.py, long runs as (prompt, mode), traces as (prompt, mode, numerics))
MODELS = {
    "gqa-64": (                                                      # 4 query heads on one KV head of 64
        "--arch bitnet-b1.58 --layers 2 --hidden 256 --heads 4 --kv-heads 1 --ffn 384 --seed 101",
        [("batch-530", mode) for mode in MODES] + [("batch-513", "batch-all"), ("batch-513", "batch-last")],
        [("batch-33", "batch-all", "avx512"), ("batch-33", "batch-all", "avx2"), ("batch-513", "batch-last", "avx512")]),
    "mha-128": (                                                     # a KV head of 128 for each query head
        "--arch bitnet-25 --layers 1 --hidden 256 --heads 2 --kv-heads 2 --ffn 512 --seed 102",
        [("batch-530", "batch-last")], [("batch-33", "batch-last", "avx2")]),
    "tail-96": (                                                     # heads of 96: with 16 lanes the dot product has a tail of 32
        "--arch bitnet-b1.58 --layers 1 --hidden 384 --heads 4 --kv-heads 2 --ffn 256 --seed 103",
        [("batch-530", "batch-last")], [("few", "sequential", "avx512")]),
    "tail-32-64x16": (                                               # heads of 32: with 16 lanes all tail; SiLU of -150; layout 64x16
        "--arch bitnet --layers 1 --hidden 256 --heads 8 --kv-heads 4 --ffn 384 --seed 104 --gain 40 --packing i2_s-64x16",
        [], [("few", "batch-all", "avx2")]),
    "one-head": (                                                    # a single query head, whose scores take q in f32
        "--arch bitnet-25 --layers 2 --hidden 128 --heads 1 --kv-heads 1 --ffn 256 --seed 105",
        [("batch-513", "batch-last"), ("batch-530", "batch-last")], [("batch-33", "batch-all", "avx512")]),
    "steep-softmax": (                                               # large scores: exp from 1 down through subnormals to 0
        "--arch bitnet-b1.58 --layers 1 --hidden 256 --heads 4 --kv-heads 2 --ffn 384 --seed 106 --gain 5",
        [("batch-530", "batch-last")], [("batch-33", "batch-all", "avx2")]),
}


def prompt_ids(length, seed):
    """Ids over the whole vocabulary from a linear congruential generator."""
    ids = []
    for _ in range(length):
        seed = (seed * 1103515245 + 12345) % 2**31
        ids.append((seed >> 8) % VOCAB_SIZE)
    return ids


def digest(values):
    if not np.isfinite(values).all():
        raise SystemExit("a value is NaN or infinite: such a vector is no evidence")
    return hashlib.sha256(np.ascontiguousarray(values).astype("<f4").tobytes()).hexdigest()


def top5(row):
    return [[int(i), float(row[i])] for i in np.argsort(-row, kind="stable")[:5]]


def run_of(model, numerics, prompt, mode, ids):
    logits = model.prompt(ids, mode)
    greedy, generated = model.greedy(logits[len(ids) - 1], GREEDY)
    return {"numerics": numerics, "mode": mode, "prompt": prompt, "rows": [digest(row) for row in logits.values()],
            "top5": top5(logits[len(ids) - 1]), "greedy": greedy, "generated": [digest(row) for row in generated]}


def trace_of(model, numerics, prompt, mode, ids):
    model.trace = []
    model.prompt(ids, mode)
    trace, model.trace = model.trace, None
    nodes, seen, step = [], {}, -1
    for name, value in trace:
        if name == "inp_embd":
            step, seen = step + 1, {}
        shape = list(value.shape)
        while len(shape) > 2 and shape[0] == 1:                      # as the recordings have it
            shape.pop(0)
        nodes.append({"name": name, "occurrence": seen.get(name, 0), "step": step, "shape": shape, "sha256": digest(value)})
        seen[name] = seen.get(name, 0) + 1
    return {"numerics": numerics, "mode": mode, "prompt": prompt, "nodes": nodes}


def write_vectors(folder, name, options, long_runs, traces):
    path = os.path.join(folder, f"{name}.gguf")
    arguments = f"{options} --vocab-size {VOCAB_SIZE} --context {CONTEXT}".split()
    subprocess.run([sys.executable, os.path.join(HERE, "make_model.py"), path, *arguments], check=True)
    layout = "64x16" if "64x16" in options else "128x32"
    models = {numerics: Model(path, lanes, layout) for numerics, lanes in LANES.items()}
    prompts = {prompt: prompt_ids(length, length) for prompt, length in PROMPTS.items()}
    wanted = [(prompt, mode) for prompt in SHORT for mode in MODES] + long_runs
    used = {prompt for prompt, _ in wanted}
    with open(path, "rb") as file:
        sha256 = hashlib.sha256(file.read()).hexdigest()
    vectors = {
        "reference": "microsoft/BitNet 01eb415, as emulated by tools/oracle/oracle.py",
        "model": {"file": f"{name}.gguf", "sha256": sha256, "options": " ".join(arguments)}, "i2sLayout": layout,
        "prompts": {prompt: ids for prompt, ids in prompts.items() if prompt in used},
        "runs": [run_of(model, numerics, prompt, mode, prompts[prompt])
                 for numerics, model in models.items() for prompt, mode in wanted],
        "traces": [trace_of(models[numerics], numerics, prompt, mode, prompts[prompt]) for prompt, mode, numerics in traces],
    }
    with open(os.path.join(folder, f"{name}.json"), "w", encoding="utf-8") as file:
        json.dump(vectors, file, separators=(",", ":"))
        file.write("\n")


# With an f32 cache: (model, prompt, mode)
KV_F32 = [(name, prompt, mode) for name in ("gqa-64", "tail-96", "one-head")
          for prompt, mode in (("few", "sequential"), ("batch-33", "batch-all"), ("batch-33", "sequential"))]


def write_kv_f32_vectors(folder):
    runs = []
    for name, prompt, mode in KV_F32:
        for numerics, lanes in LANES.items():
            model = Model(os.path.join(folder, f"{name}.gguf"), lanes, kv_type="f32")
            ids = prompt_ids(PROMPTS[prompt], PROMPTS[prompt])
            runs.append({"model": f"{name}.gguf", "ids": ids, **run_of(model, numerics, prompt, mode, ids)})
    with open(os.path.join(folder, "kv-f32.json"), "w", encoding="utf-8") as file:
        json.dump({"reference": "the arithmetic of microsoft/BitNet 01eb415 with -ctk f32 -ctv f32, read in its source", "runs": runs},
                  file, separators=(",", ":"))
        file.write("\n")


def main():
    folder, = sys.argv[1:]
    for name, (options, long_runs, traces) in MODELS.items():
        write_vectors(folder, name, options, long_runs, traces)
        print(name, flush=True)
    write_kv_f32_vectors(folder)
    print("kv-f32", flush=True)


if __name__ == "__main__":
    main()
