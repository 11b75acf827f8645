"""Compares the meter with llama.cpp, then asks a model through a worker on a development ledger."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

TACIT = os.environ["TACIT_BIN"]
CLIENT = os.environ["TACIT_LANGUAGE_CLIENT"]
HERE = pathlib.Path(__file__).parent
NAME = "smollm2-135m"
PRICES = {"prompt": "0.02", "completion": "0.08"}
# <|im_start|>, role, line, text, <|im_end|>, line: what the template wraps around a message.
MESSAGE_TOKENS = 5

SHORT = [
    "", " ", "  ", "\n", "\n\n", "\t\tx", " x", "x ", "a  b", "a   b \n c", "\r\n\r\n", "trailing   ",
    "Hello, world!", "don't won't I'll they've", "DON'T", "1", "12", "123", "1234567890", "3.14159", "1,000,000", "0x1f",
    "Größe über Maß", "naïve café", "e\u0301", "Ελληνικά", "русский язык", "中文字符", "日本語のテキスト", "한국어", "العربية", "עברית", "हिन्दी", "ไทย",
    "🙂", "👩‍👩‍👧‍👦", "🇩🇪", "a🙂b", "½ ² ٣ Ⅷ", "\u00a0nbsp\u2003em", "zero\u200bwidth", "\ufeffbom",
    "if (x == 1) {\n\treturn y[0] + 'z';\n}\n", "def f(a, *, b=None):\n    return {**a, 'b': b}\n", "SELECT * FROM t WHERE id = 42;", "<p class=\"x\">&amp;</p>",
    "snake_case camelCase kebab-case", "!!!???...", "-----", "https://example.org/a?b=c&d=%20", "<|im_start|>user\nhi<|im_end|>",
]


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as reply:
        return json.load(reply)


def tacit(*arguments):
    done = subprocess.run([TACIT, "--json", *arguments], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


class Role:
    """A process that says on its first line that it is ready, and ends with its stdin."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ready = self.process.stdout.readline()
        if not self.ready or "\"error\"" in self.ready:
            sys.exit(f"{command[0]} did not start: {self.ready}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=60)


def long_texts():
    """Source, prose and other scripts, each long enough for many segments."""
    library = pathlib.Path(os.__file__).parent
    texts = [(library / name).read_text()[:20000] for name in ("argparse.py", "tokenize.py", "enum.py", "this.py")]
    texts += [" ".join(SHORT) * 8, "中文字符和標點。" * 400, "русский язык и пробелы " * 300, "x" * 9000, "12345 " * 900]
    return texts


def counts(tokenizer, texts):
    done = subprocess.run(
        [CLIENT, "count", str(tokenizer), str(MESSAGE_TOKENS)], input=json.dumps(texts), check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def compare_tokenizers(engine, tokenizer):
    theirs = lambda text: len(post(f"{engine}/tokenize", {"content": text})["tokens"])
    # Below 256 bytes nothing is cut, and the counts are the same.
    for text, ours in zip(SHORT, counts(tokenizer, SHORT), strict=True):
        assert ours == theirs(text), (text, ours, theirs(text))
    # Beyond that each cut costs at most a token.
    texts = long_texts()
    equal, more = 0, []
    for text, ours in zip(texts, counts(tokenizer, texts), strict=True):
        whole, size = theirs(text), len(text.encode())
        assert whole <= ours <= whole + size // 256, (text[:40], ours, whole)
        equal += ours == whole
        more.append((ours - whole) / whole)
    print(f"meter and llama.cpp: equal on {len(SHORT)} short texts; on {equal} of {len(texts)} long ones, at most {max(more):.3%} more on others")


def events(data):
    for line in data.splitlines():
        if line.startswith("data: {"):
            yield json.loads(line[6:])


PROMPTS = [
    "What is the capital of France?", "Write a haiku about the sea.", "Count from 1 to 30.", "Write a Python function that reverses a list.",
    "Translate to German: good morning, my friend.", "List five fruits with prices in EUR.", "Explain gravity to a child.", "Write the numbers 2^0 to 2^10.",
]


def ask(ledger, worker, key):
    bodies = [
        {
            "model": NAME, "messages": [{"role": "user", "content": prompt}], "max_tokens": 24 + 16 * at, "temperature": 0, "stream": True,
            "stream_options": {"include_usage": True},
        }
        for at, prompt in enumerate(PROMPTS)
    ]
    bodies.append({"model": NAME, "messages": [{"role": "user", "content": PROMPTS[1]}], "max_tokens": 80, "temperature": 0})
    done = subprocess.run([CLIENT, "ask", ledger, worker, key], input=json.dumps(bodies), check=True, stdout=subprocess.PIPE, text=True)
    equal, worst = 0, 0
    for body, answer in zip(bodies, json.loads(done.stdout), strict=True):
        assert answer["reason"] == "complete", answer
        said = events(answer["data"]) if body.get("stream") else [json.loads(answer["data"])]
        usage = [event["usage"] for event in said if event.get("usage")][-1]
        counted, used = answer["completion_tokens"], usage["completion_tokens"]
        # An engine counts the token that ends an answer, which has no text, and cuts a text as it made it rather than as its tokenizer would.
        print(f"  counted {counted:4}, engine {used:4}; prompt {answer['prompt_tokens']:3}, engine {usage['prompt_tokens']:3}; paid {answer['price']}")
        equal += counted == used
        worst = max(worst, abs(counted - used))
        assert abs(counted - used) <= 2 + used // 20, answer
    print(f"completions: equal to the engine's usage on {equal} of {len(bodies)}, apart by {worst} at most")


def main():
    with tempfile.TemporaryDirectory() as folder, Role(sys.executable, str(HERE / "engine.py")) as engine:
        _, address, weights = engine.ready.split(maxsplit=2)
        model = pathlib.Path(folder) / "model"
        made = tacit(
            "model", "language", "--weights", weights.strip(), "--name", NAME, "--licence", "Apache-2.0", "--message-tokens", str(MESSAGE_TOKENS), "-o", str(model)
        )
        print("model", made["model_id"], made["manifest"]["quantisation"], made["manifest"]["context_tokens"])
        compare_tokenizers(address, model / "tokenizer.json")
        keys = {owner: str(pathlib.Path(folder) / f"{owner}.key") for owner in ("worker", "client")}
        funds = [word for key in keys.values() for word in ("--fund", tacit("wallet", "new", key)["address"])]
        with Role(TACIT, "--json", "node", "dev", "--listen", "127.0.0.1:0", "--with-parent", *funds) as ledger:
            ledger_url = json.loads(ledger.ready)["url"]
            serve = [
                TACIT, "--json", "worker", "--engine", address, "--manifest", str(model / "manifest.json"), "--tokenizer", str(model / "tokenizer.json"),
                "--prompt-price", PRICES["prompt"], "--completion-price", PRICES["completion"], "--key", keys["worker"], "--data", folder + "/worker",
                "--listen", "127.0.0.1:0", "--ledger", ledger_url, "--with-parent",
            ]
            with Role(*serve) as worker:
                worker_url = json.loads(worker.ready)["url"]
                ask(ledger_url, worker_url, keys["client"])
                earned = tacit("worker", "earnings", "--worker", worker_url, "--by", "model")["earnings"]
                print("earned", earned)
                assert earned[0]["model"] == NAME and earned[0]["requests"] == len(PROMPTS) + 1 and earned[0]["failures"] == 0


if __name__ == "__main__":
    main()
