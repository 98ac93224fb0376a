#!/usr/bin/env python3
"""Write the vectors from the project's recordings; the same bytes each run. FOLDER: see README.md.

    python3 extract.py FOLDER
"""
import hashlib
import itertools
import json
import pathlib
import shutil
import sys

shared = pathlib.Path(sys.argv[1])
here = pathlib.Path(__file__).parent
sys.path.insert(0, str(shared / "oracle"))
from oracle import Gguf  # noqa: E402


def write(name, value):
    (here / name).write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def write_vocabulary(name, model):
    """All tokenizer keys but the scores and the chat template; token_type as runs [type, count]."""
    path = shared / "models" / model
    metadata = {key: value for key, value in Gguf(path).metadata.items() if key.startswith("tokenizer.ggml.")}
    metadata.pop("tokenizer.ggml.scores", None)
    types = metadata.pop("tokenizer.ggml.token_type")
    runs = [[kind, len(list(group))] for kind, group in itertools.groupby(types)]
    write(name, {"model": model, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "tokenTypeRuns": runs, "metadata": metadata})


shutil.copyfile(shared / "reference/tokenizer_cases.json", here / "tokenizer_cases.json")
write_vocabulary("tiny-vocabulary.json", "tiny-random.i2_s.gguf")
write_vocabulary("storyteller-vocabulary.json", "storyteller/storyteller.i2_s.gguf")
index = json.loads((shared / "reference/storyteller/index.json").read_text(encoding="utf-8"))
prompts = {entry["prompt"]: {"text": entry["text"], "ids": entry["ids"]} for entry in index["recordings"]}
write("storyteller-prompts.json", [prompts[number] for number in sorted(prompts)])
