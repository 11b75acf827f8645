"""Answers of SmolLM2-135M under engines of several code bases, honest and not, and what auditors with other engines find when they compute them again on forced tokens.

    python measure.py answers ENGINE ANSWERS.jsonl             ENGINE: llama.cpp, transformers or mistral.rs
    python measure.py audits ENGINE RECORDS.jsonl ANSWERS.jsonl...         llama.cpp or transformers
    cargo run --release -p tacit-market --example likeness -- RECORDS.jsonl...

One JSON object for each answer: `variant`, `prompt`, and for each token of the answer the worker's `token` and `committed` log-probabilities of its most likely tokens; a record has the `auditor` too, and
`again`, those that the auditor computes after the same tokens.
"""

import functools
import importlib
import json
import pathlib
import shutil
import sys
import tempfile

import gguf
import numpy

from engines import WEIGHTS, LlamaCpp, MistralRs, Transformers

PROMPTS, TOKENS = 40, 32
COMMITTED, AGAIN = 8, 64
MODULES = """argparse ast builtins cmd codeop collections colorsys compileall configparser copy csv dbm difflib doctest errno fileinput fnmatch ftplib gc getopt getpass
gettext hashlib heapq inspect io itertools json locale lzma marshal mimetypes operator optparse os pdb pickle pickletools platform plistlib posixpath pprint pyclbr pydoc
random re rlcompleter runpy sched shelve smtplib socket socketserver sqlite3 ssl statistics string struct subprocess tempfile timeit tokenize trace""".split()


def prompts():
    """Documentation of Python's library, which is on every machine that runs this, cut to some hundred words, with a task."""
    texts = []
    for name in MODULES:
        text = (importlib.import_module(name).__doc__ or "").strip()
        if len(text) > 300:
            texts.append((text[:700], f"Explain in a few sentences what the Python module {name} does."))
    assert len(texts) >= PROMPTS, len(texts)
    return texts[:PROMPTS]


def blocks(tensor):
    """A Q4_1 tensor's scales, minima and weights (0 to 15), as views of the file: 20 bytes hold 32 weights."""
    raw = tensor.data.reshape(-1, 20)
    return raw[:, 0:2].view(numpy.float16)[:, 0], raw[:, 2:4].view(numpy.float16)[:, 0], raw[:, 4:]


def coarser(path, levels, only=lambda layer: True):
    """Rounds weights of four bits to so many levels of the same range."""
    for tensor in gguf.GGUFReader(path, "r+").tensors:
        if tensor.tensor_type.name == "Q4_1" and only(int(tensor.name.split(".")[1])):
            scale, _, packed = blocks(tensor)
            low, high = packed & 15, packed >> 4
            rounded = [numpy.rint(half.astype(numpy.float32) * ((levels - 1) / 15)).astype(numpy.uint8) for half in (low, high)]
            packed[:] = rounded[0] | rounded[1] << 4
            scale[:] = (scale.astype(numpy.float32) * (15 / (levels - 1))).astype(numpy.float16)


def without_layers(path, layers):
    """Lets layers add nothing: the model that is left is smaller by them."""
    for tensor in gguf.GGUFReader(path, "r+").tensors:
        parts = tensor.name.split(".")
        if parts[0] == "blk" and int(parts[1]) in layers and parts[2] in ("attn_output", "ffn_down"):
            scale, minimum, _ = blocks(tensor)
            scale[:] = 0
            minimum[:] = 0


third = functools.partial(coarser, levels=8, only=lambda layer: layer % 3 == 0)

# What a worker does: to the weights, to the engine, to the prompt.
VARIANTS = {
    "llama.cpp": {
        "honest": (None, LlamaCpp, {}, None),
        "honest, other engine settings": (None, LlamaCpp, {"flash": True, "threads": 2, "n_ubatch": 32}, None),
        "key-value cache of 8 bits": (None, LlamaCpp, {"flash": True, "cache_of_8_bits": True}, None),
        "weights of 4 bits cut to 3 in a third of the layers": (third, LlamaCpp, {}, None),
        "weights of 4 bits cut to 3": (functools.partial(coarser, levels=8), LlamaCpp, {}, None),
        "a fifth of the layers left out": (lambda path: without_layers(path, range(2, 26, 4)), LlamaCpp, {}, None),
        "last quarter of the text left out": (None, LlamaCpp, {}, 0.75),
        "half of the text left out": (None, LlamaCpp, {}, 0.5),
    },
    "transformers": {
        "honest, transformers, floats of 32 bits": (None, Transformers, {}, None),
        "honest, transformers, floats of 16 bits (bf16)": (None, Transformers, {"dtype": "bfloat16"}, None),
        "transformers, weights of 4 bits cut to 3 in a third of the layers": (third, Transformers, {}, None),
        "transformers, last quarter of the text left out": (None, Transformers, {}, 0.75),
    },
    "mistral.rs": {
        "honest, mistral.rs": (None, MistralRs, {}, None),
    },
}
AUDITORS = {"llama.cpp": LlamaCpp, "transformers": Transformers}


def answers(engine, out):
    asked = prompts()
    with tempfile.TemporaryDirectory() as folder, open(out, "w") as lines:
        for name, (change, kind, settings, share) in VARIANTS[engine].items():
            weights = WEIGHTS
            if change:
                weights = pathlib.Path(folder) / "changed.gguf"
                shutil.copy(WEIGHTS, weights)
                change(weights)
            worker = kind(weights, **settings)
            for number, (text, task) in enumerate(asked):
                seen = text if share is None else text[: int(len(text) * share)]
                steps = worker.steps(worker.prompt(f"{seen}\n\n{task}"), TOKENS, COMMITTED)
                positions = [{"token": token, "committed": committed} for token, committed in steps]
                lines.write(json.dumps({"variant": name, "prompt": number, "positions": positions}) + "\n")
                lines.flush()
            del worker
            print(name, file=sys.stderr, flush=True)


def audits(engine, out, files):
    asked, auditor = prompts(), AUDITORS[engine](WEIGHTS)
    with open(out, "w") as records:
        lines = [json.loads(line) for file in files for line in open(file)]
        # One prompt after the other: what the engine keeps of it serves for all.
        for answer in sorted(lines, key=lambda answer: answer["prompt"]):
            text, task = asked[answer["prompt"]]
            positions = answer["positions"]
            forced = auditor.forced(auditor.prompt(f"{text}\n\n{task}"), [position["token"] for position in positions], AGAIN)
            positions = [position | {"again": again} for position, again in zip(positions, forced)]
            records.write(json.dumps(answer | {"auditor": engine, "positions": positions}) + "\n")
            records.flush()


if __name__ == "__main__":
    kind, engine, out, *files = sys.argv[1:]
    answers(engine, out) if kind == "answers" else audits(engine, out, files)
