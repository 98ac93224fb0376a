#!/usr/bin/env python3
"""Compare the oracle with every recording of bitnet.cpp in this repository, bit for bit. Exit code 1 on any difference.

    python3 check.py              # three models, both vector widths, three modes, greedy continuations, traces

The recordings hold the SHA-256 of every row of logits and of every operation's result; equal digests are equal bits.
"""
import hashlib
import json
import os
import sys
import numpy as np
from oracle import Model

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
LANES = {"avx512": 16, "avx2": 8}
# model file -> recording
RECORDINGS = {
    "tools/fixtures/tiny-random/tiny-random.i2_s.gguf": "tools/fixtures/tiny-random/recording",
    "tools/fixtures/tiny-random-bitnet/tiny-random-bitnet.i2_s.gguf": "tools/fixtures/tiny-random-bitnet/recording",
    "packages/storyteller/model/storyteller.i2_s.gguf": "packages/storyteller/recording",
}


def digest(values):
    """SHA-256 of f32 little-endian bytes. NaN and infinity are no evidence."""
    if not values.size or not np.isfinite(values).all():
        raise SystemExit("a value is NaN or infinite, or there is none")
    return hashlib.sha256(np.ascontiguousarray(values, dtype="<f4").tobytes()).hexdigest()


def check_run(model, run):
    """Logits of every position, and the greedy continuation with its logits: (compared, differing) arrays and ids."""
    logits = model.prompt(run["ids"], run["mode"])
    greedy, generated = model.greedy(logits[len(run["ids"]) - 1], len(run["greedy"]))
    differing = sum(digest(logits[row["position"]]) != row["sha256"] for row in run["rows"])
    differing += sum(digest(row) != expected for row, expected in zip(generated, run["generated"]))
    differing += greedy != run["greedy"]
    return len(run["rows"]) + len(run["generated"]), differing


def check_trace(model, trace):
    """Every recorded operation: name, size and value."""
    model.trace = []
    model.prompt(trace["ids"], trace["mode"])
    ours, seen, step = {}, {}, -1
    for name, value in model.trace:
        if name == "inp_embd":
            step, seen = step + 1, {}
        ours[step, name, seen.get(name, 0)] = value
        seen[name] = seen.get(name, 0) + 1
    model.trace = None
    differing = sum(digest(ours[node["step"], node["name"], node["occurrence"]]) != node["sha256"] for node in trace["nodes"])
    return len(trace["nodes"]), differing


def main():
    totals = [0, 0]
    for model_file, folder in RECORDINGS.items():
        path = os.path.join(ROOT, model_file)
        with open(os.path.join(ROOT, folder, "recording.json"), encoding="utf-8") as file:
            recording = json.load(file)
        with open(path, "rb") as file:
            if hashlib.sha256(file.read()).hexdigest() != recording["model"]["sha256"]:
                raise SystemExit(f"{folder} was recorded with another model than {model_file}")
        for numerics, lanes in LANES.items():
            model = Model(path, lanes)
            results = [check_run(model, run) for run in recording["runs"] if run["reference"] == numerics]
            results += [check_trace(model, trace) for trace in recording["traces"] if trace["reference"] == numerics]
            compared, differing = (sum(column) for column in zip(*results))
            print(f"{os.path.basename(model_file)} {numerics}: {compared} rows and operations, {differing} differing", flush=True)
            totals = [totals[0] + compared, totals[1] + differing]
    print(f"{totals[0]} compared: {totals[1]} differing")
    return 1 if totals[1] or not totals[0] else 0


if __name__ == "__main__":
    sys.exit(main())
