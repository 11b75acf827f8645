"""OpenAI's SDK, gateway, worker and a real model: real.py (see run.sh)

SmolLM2-135M under llama.cpp (clients/language), a development ledger, a worker, a gateway; the official SDK asks with another base_url.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

from openai import OpenAI

TACIT = os.environ["TACIT_BIN"]
ENGINE = pathlib.Path(__file__).parent.parent / "language" / "engine.py"
NAME = "smollm2-135m"


class Role:
    """A process that says on its first line that it is ready, and ends with its stdin."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ready = self.process.stdout.readline()
        if not self.ready:
            sys.exit(f"{' '.join(command)} did not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=60)


def tacit(*arguments):
    done = subprocess.run([TACIT, "--json", *arguments], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def role(*arguments):
    return Role(TACIT, "--json", *arguments, "--with-parent")


def get(url):
    with urllib.request.urlopen(url, timeout=30) as reply:
        return json.load(reply)


with tempfile.TemporaryDirectory() as folder, Role(sys.executable, str(ENGINE)) as engine:
    _, address, weights = engine.ready.split(maxsplit=2)
    folder = pathlib.Path(folder)
    model = folder / "model"
    tacit("model", "language", "--weights", weights.strip(), "--name", NAME, "--licence", "Apache-2.0", "--message-tokens", "5", "-o", str(model))
    keys = [str(folder / f"{who}.key") for who in ("worker", "client")]
    funds = [word for key in keys for word in ("--fund", tacit("wallet", "new", key)["address"])]
    with role("node", "dev", "--listen", "127.0.0.1:0", *funds) as node:
        ledger = json.loads(node.ready)["url"]
        serve = [
            "worker", "--engine", address, "--engine-model", NAME, "--manifest", str(model / "manifest.json"),
            "--tokenizer", str(model / "tokenizer.json"), "--prompt-price", "0.02", "--completion-price", "0.08",
            "--key", str(folder / "worker.key"), "--data", str(folder / "worker"), "--listen", "127.0.0.1:0", "--ledger", ledger,
        ]
        door = ["gateway", "--key", str(folder / "client.key"), "--data", str(folder / "gateway"), "--listen", "127.0.0.1:0", "--ledger", ledger]
        with role(*serve), role(*door) as gateway:
            url = json.loads(gateway.ready)["url"]
            client = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
            assert [model.id for model in client.models.list()] == [NAME]
            talk = [{"role": "user", "content": "Name three rivers of Europe, and say a word about each."}]
            one = client.chat.completions.with_raw_response.create(model=NAME, messages=talk, max_tokens=48, temperature=0)
            whole = one.parse()
            print("answer:", whole.choices[0].message.content[:100].replace("\n", " "))
            print("engine's usage:", whole.usage.completion_tokens, "price:", one.headers["x-tacit-price"])
            start = time.monotonic()
            stream = client.chat.completions.create(model=NAME, messages=talk, max_tokens=48, temperature=0, stream=True)
            chunks = [(time.monotonic() - start, chunk) for chunk in stream]
            text = "".join(chunk.choices[0].delta.content or "" for _, chunk in chunks if chunk.choices)
            assert text == whole.choices[0].message.content, (text, whole.choices[0].message.content)
            print(f"stream: {len(chunks)} chunks, the first after {chunks[0][0]:.2f} s, the last after {chunks[-1][0]:.2f} s")
            # Leaving stops the engine, and the next request goes on over the same channel.
            left = client.chat.completions.create(model=NAME, messages=talk, max_tokens=512, stream=True)
            for _ in zip(range(3), left):
                pass
            left.close()
            again = client.chat.completions.create(model=NAME, messages=talk, max_tokens=4, temperature=0)
            assert again.choices[0].message.content
            for _ in range(100):
                receipts = get(f"{url}/tacit/v1/streams")
                if len(receipts) >= 3:
                    break
                time.sleep(0.05)
            counted = [(one["counted"]["prompt"], one["counted"]["completion"], one["claimed"] == one["counted"]) for one in receipts]
            print("counted, claimed the same:", counted)
            assert len(receipts) == 3 and all(same for *_, same in counted)
            status = get(f"{url}/tacit/v1/status")
            assert len(status["channels"]) == 1 and not status["channels"][0]["retired"], status
            print("workers:", get(f"{url}/tacit/v1/workers"))
            # Keys.
            key = tacit("gateway", "key", "new", "mine", "--data", str(folder / "gateway"))["key"]
            try:
                client.models.list()
                sys.exit("no key was needed")
            except Exception as error:
                assert error.status_code == 401, error
            assert [model.id for model in OpenAI(base_url=f"{url}/v1", api_key=key).models.list()] == [NAME]
print("real model ok")
