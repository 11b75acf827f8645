"""Audits by a gateway of three workers of SmolLM2-135M, one of which serves weaker weights under the same name.

    TACIT_BIN=target/debug/tacit python audit.py [QUESTIONS] [PYTHON=KIND...]

Workers are under llama.cpp; each PYTHON=KIND puts the engine of `serve.py` of that kind, run by that Python, in the place of flash attention.

Prints what `GET /tacit/v1/likeness` says after each question, and ends once somebody is outvoted and every pair of workers was judged.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from engines import WEIGHTS, LlamaCpp, Served
from measure import MODULES, coarser

TACIT = os.environ.get("TACIT_BIN", "tacit")
NAME = "smollm2-135m"


def tacit(*arguments):
    done = subprocess.run([TACIT, "--json", *arguments], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


class Role:
    """A process that says on its first line that it is ready, and ends with its stdin."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([TACIT, "--json", *arguments, "--with-parent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ready = self.process.stdout.readline()
        if not ready or '"error"' in ready:
            sys.exit(f"{arguments[0]} did not start: {ready}")
        self.url = json.loads(ready)["url"]

    def end(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


def get(url):
    with urllib.request.urlopen(url, timeout=60) as reply:
        return json.load(reply)


def ask(gateway, body):
    request = urllib.request.Request(gateway + "/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=600) as reply:
            return reply.headers["x-tacit-worker"].lower()
    except urllib.error.HTTPError as error:
        sys.exit(error.read().decode())


def engines(folder, others=()):
    weaker = folder / "weaker.gguf"
    shutil.copy(WEIGHTS, weaker)
    coarser(weaker, 8, lambda layer: layer % 3 == 0)
    alias = {"model_alias": {NAME}, "n_ctx": 1024}
    served = {"plain attention": LlamaCpp(WEIGHTS, **alias)}
    for said in others:
        served[said.rsplit("=", 1)[1]] = Served(said, NAME)
    if not others:
        served["flash attention"] = LlamaCpp(WEIGHTS, flash=True, n_ubatch=32, **alias)
    return served | {"a third of the layers cut to 3 bits": LlamaCpp(weaker, **alias)}


def audited(view):
    own = sum(worker["unsupported"] + worker["unlike"] for model in view["models"] for worker in model["workers"])
    return view["compared"] + view["failed"] + view["dropped"] + own


def show(number, view, names):
    for model in view["models"]:
        for pair in model["pairs"]:
            who = " / ".join(names[address] for address in pair["workers"])
            gap = "" if pair.get("gap") is None else f", gap {pair['gap']:.3f}"
            print(f"{number:3} {who}: {pair['steps']} steps, distance {pair['distance']:.3f}{gap}: {pair['verdict']}")
        for worker in model["workers"]:
            if worker["outvoted"] or worker["unlike"] or worker["unsupported"] or worker["refuses"] or worker.get("continues") is False:
                print(f"{number:3} {names[worker['worker']]}:", json.dumps(worker))
    print(f"{number:3} compared {view['compared']}, failed {view['failed']}, dropped {view['dropped']}", flush=True)


def done(view, count):
    pairs = [pair["verdict"] for model in view["models"] for pair in model["pairs"]]
    return len(pairs) == count * (count - 1) // 2 and "undecided" not in pairs or any(worker["outvoted"] for model in view["models"] for worker in model["workers"])


def main(most, others):
    with tempfile.TemporaryDirectory() as name:
        folder, roles = pathlib.Path(name), []
        try:
            run(folder, roles, most, others)
        finally:
            for role in reversed(roles):
                role.end()


def run(folder, roles, most, others):
    def start(*arguments):
        roles.append(Role(*arguments))
        return roles[-1].url

    model = folder / "model"
    tacit("model", "language", "--weights", str(WEIGHTS), "--name", NAME, "--licence", "Apache-2.0", "--message-tokens", "5", "-o", str(model))
    served = engines(folder, others)
    keys = [str(folder / f"{number}.key") for number in range(len(served) + 1)]
    addresses = [tacit("wallet", "new", key)["address"].lower() for key in keys]
    ledger = start("node", "dev", "--listen", "127.0.0.1:0", *(word for address in addresses for word in ("--fund", address)))
    for key, engine in zip(keys, served.values()):
        start(
            "worker", "--engine", engine.url, "--manifest", str(model / "manifest.json"), "--tokenizer", str(model / "tokenizer.json"),
            "--prompt-price", "0.02", "--completion-price", "0.08", "--key", key, "--data", key + ".data", "--listen", "127.0.0.1:0", "--ledger", ledger,
        )
    gateway = start("gateway", "--key", keys[-1], "--data", str(folder / "gateway"), "--listen", "127.0.0.1:0", "--ledger", ledger, "--audit-language", "1")
    names = dict(zip(addresses, served))
    for number in range(1, most + 1):
        question = f"Explain in a few sentences what the Python module {MODULES[number % len(MODULES)]} does."
        body = {"model": NAME, "messages": [{"role": "user", "content": question}], "max_tokens": 32, "temperature": 0 if number % 2 else 0.7}
        worker = ask(gateway, body)
        print(f"{number:3} answered by {names[worker]}")
        # An answer without text is not audited: no wait is for ever.
        for _ in range(200):
            view = get(gateway + "/tacit/v1/likeness")
            if audited(view) >= number:
                break
            time.sleep(0.5)
        show(number, view, names)
        if done(view, len(served)):
            break
    print(f"{len(get(gateway + '/tacit/v1/streams'))} receipts for {number} questions")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 80, sys.argv[2:])
