"""The OpenAI interface before engines whose packages have none here: transformers, and mistral.rs, whose answers are written as its own server writes them.

    python serve.py transformers|mistral.rs [NAME] [WEIGHTS.gguf]

Says where it is in its first line, and ends with its stdin. Chats of text, streamed or not; one request at a time.
"""

import codecs
import http.server
import json
import pathlib
import sys
import threading

from engines import WEIGHTS, MistralRs, Transformers

LIKELY_MAX = 20


def byte_level():
    """Bytes of the characters by which byte-level vocabularies are written."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + at): byte for at, byte in enumerate(others)}


class Torch:
    def __init__(self, weights):
        self.engine, self.letters = Transformers(weights), byte_level()
        self.special = set(self.engine.tokenizer.all_special_tokens)

    def named(self, token, logprob):
        text = self.engine.tokenizer.convert_ids_to_tokens(token)
        spelled = b"" if text in self.special else bytes(self.letters[letter] for letter in text)
        name = text if text in self.special else spelled.decode(errors="replace")
        return {"token": name, "bytes": list(spelled), "logprob": logprob}

    def prompt(self, body):
        messages = [{"role": message["role"], "content": message["content"]} for message in body["messages"]]
        goes_on = body.get("continue_final_message", False)
        text = self.engine.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=not goes_on, continue_final_message=goes_on)
        return self.engine.tokenizer.encode(text, add_special_tokens=False)

    def answer(self, body):
        """Pieces of text with what is said of each token."""
        torch, model = self.engine.torch, self.engine.model
        given, kept, decoder = self.prompt(body), None, codecs.getincrementaldecoder("utf-8")(errors="replace")
        temperature = body.get("temperature", 1)
        for _ in range(body.get("max_tokens") or body.get("max_completion_tokens") or 256):
            with torch.inference_mode():
                out = model(torch.tensor([given]), past_key_values=kept, use_cache=True)
            kept, logits = out.past_key_values, out.logits[0, -1].float()
            logprobs = torch.log_softmax(logits, -1)
            token = int(logits.argmax()) if temperature == 0 else int(torch.multinomial(torch.softmax(logits / temperature, -1), 1))
            if token == self.engine.tokenizer.eos_token_id:
                return
            entry = self.named(token, float(logprobs[token]))
            likely = min(body.get("top_logprobs") or 0, LIKELY_MAX)
            entry["top_logprobs"] = [self.named(one, logprob) for one, logprob in self.engine.likely(logits, likely)]
            yield decoder.decode(bytes(entry["bytes"])), {"content": [entry]}, entry
            given = [token]


class Mistral:
    def __init__(self, weights):
        self.engine = MistralRs(weights)

    def answer(self, body):
        messages = [{"role": message["role"], "content": message["content"]} for message in body["messages"]]
        more = {name: body[name] for name in ("temperature", "top_p", "max_tokens", "top_logprobs") if body.get(name) is not None}
        for piece in self.engine.answer(messages, stream=True, **more):
            said = piece.choices[0].logprobs
            if said is not None:
                listed = [{"token": one.token, "logprob": one.logprob, "bytes": one.bytes} for one in said.top_logprobs]
                entry = {"token": said.token, "logprob": said.logprob, "bytes": list(said.bytes), "top_logprobs": listed}
                # In a stream without a list around it.
                yield piece.choices[0].delta.content or "", entry, entry


KINDS = {"transformers": Torch, "mistral.rs": Mistral}


class Door(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, *_):
        pass

    def send(self, kind, bytes_):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.end_headers()
        self.wfile.write(bytes_)

    def do_GET(self):
        self.send("application/json", json.dumps({"object": "list", "data": [{"id": self.server.name, "object": "model"}]}).encode())

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path != "/v1/chat/completions":
            return self.send_error(404)
        with self.server.turn:
            pieces = list(self.server.engine.answer(body))
        said = body.get("logprobs") or False
        if not body.get("stream"):
            message = {"role": "assistant", "content": "".join(text for text, _, _ in pieces)}
            logprobs = {"content": [entry for _, _, entry in pieces]} if said else None
            choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": "stop"}
            return self.send("application/json", json.dumps({"object": "chat.completion", "choices": [choice]}).encode())
        events = [{"index": 0, "delta": {"role": "assistant", "content": text}, "logprobs": logprobs if said else None} for text, logprobs, _ in pieces]
        events.append({"index": 0, "delta": {}, "finish_reason": "stop"})
        lines = [f"data: {json.dumps({'object': 'chat.completion.chunk', 'choices': [event]})}\n\n" for event in events]
        self.send("text/event-stream", ("".join(lines) + "data: [DONE]\n\n").encode())


def serve(kind, name, weights):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.engine, server.name, server.turn = KINDS[kind](weights), name, threading.Lock()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


if __name__ == "__main__":
    kind, name, weights = [*sys.argv[1:], *[None] * 2][:3]
    print(serve(kind, name or "smollm2-135m", pathlib.Path(weights or WEIGHTS)), flush=True)
    sys.stdin.read()
