"""OpenAI's Python SDK against the gateway: sdk.py URL KEY OTHER_KEY

What the engine answers is written in crates/tacit-gateway/tests/it/sdk.rs.
"""

import sys
import time

import openai
from openai import OpenAI

url, key, poor_key = sys.argv[1:4]
client = OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
user = lambda text: [{"role": "user", "content": text}]


def raises(kind, code, call):
    try:
        call()
    except kind as error:
        assert error.code == code, (error.code, code)
        return error
    raise AssertionError(f"no {kind.__name__}")


models = client.models.list()
assert [model.id for model in models] == ["talk", "vectors"], models
assert client.models.retrieve("talk").object == "model"

chat = client.chat.completions.create(model="talk", messages=user("plain"))
assert chat.choices[0].message.content == "four words of text", chat
assert chat.choices[0].finish_reason == "stop" and chat.usage.completion_tokens == 18

raw = client.chat.completions.with_raw_response.create(model="talk", messages=user("plain"))
assert raw.headers["x-request-id"].startswith("req_") and raw.headers["x-tacit-receipt"].startswith("0x")
assert float(raw.headers["x-tacit-price"]) > 0
assert raw.parse()._request_id == raw.headers["x-request-id"]

stream = client.chat.completions.create(
    model="talk", messages=user("stream"), stream=True, stream_options={"include_usage": True}
)
chunks = list(stream)
text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
assert text == "".join(f"word {n} " for n in range(40)), text
assert chunks[-1].usage.completion_tokens == 40 and chunks[-2].choices[0].finish_reason == "stop"

tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
called = client.chat.completions.create(model="talk", messages=user("tools"), tools=[tool])
call = called.choices[0].message.tool_calls[0]
assert (call.function.name, call.function.arguments) == ("weather", '{"city":"Bern"}'), call
assert called.choices[0].finish_reason == "tool_calls"

shaped = client.chat.completions.create(
    model="talk", messages=user("shape"),
    response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
)
assert shaped.choices[0].message.content == '{"a":1}'

likely = client.chat.completions.create(model="talk", messages=user("logprobs"), logprobs=True, top_logprobs=1)
assert likely.choices[0].logprobs.content[0].logprob == -0.25

done = client.completions.create(model="talk", prompt="once", max_tokens=8)
assert done.choices[0].text == " upon a time", done

vectors = client.embeddings.create(model="vectors", input=["a", "b"], encoding_format="float")
assert vectors.data[1].embedding == [0.5, -1.5], vectors

routed = client.chat.completions.create(
    model="talk:floor", messages=user("plain"), extra_body={"provider": {"sort": "price", "allow_fallbacks": False}}
)
assert routed.choices[0].message.content == "four words of text"

raises(openai.NotFoundError, "model_not_found", lambda: client.chat.completions.create(model="no", messages=user("x")))
raises(openai.BadRequestError, "engine_says_no", lambda: client.chat.completions.create(model="talk", messages=user("refuse")))
raises(openai.BadRequestError, "invalid_value", lambda: client.embeddings.create(model="talk", input="x", encoding_format="float"))
raises(openai.AuthenticationError, "invalid_api_key", lambda: client.with_options(api_key="tk-no").models.list())
poor = client.with_options(api_key=poor_key)
error = raises(openai.APIStatusError, "cap_reached", lambda: poor.chat.completions.create(model="talk", messages=user("plain"), max_tokens=64))
assert error.status_code == 402
raises(openai.InternalServerError, "engine_down", lambda: client.chat.completions.create(model="talk", messages=user("down")))

# A stream that breaks off is an error, after what came.
seen = []
def broken():
    for chunk in client.chat.completions.create(model="talk", messages=user("break"), stream=True):
        seen.append(chunk.choices[0].delta.content)
raises(openai.APIError, "broke_off", broken)
assert seen == ["some", "thing"], seen

# 429 with retry-after: the SDK waits as long as it is told, and asks again.
start = time.monotonic()
patient = client.with_options(max_retries=2).chat.completions.create(model="talk", messages=user("busy once"))
assert patient.choices[0].message.content == "at last" and time.monotonic() - start >= 1.9, time.monotonic() - start

# Leaving: the engine is stopped (the harness checks that), and the client goes on.
endless = client.chat.completions.create(model="talk", messages=user("endless"), stream=True)
next(iter(endless))
endless.close()

try:
    client.with_options(timeout=0.5).chat.completions.create(model="talk", messages=user("never"))
    raise AssertionError("no timeout")
except openai.APITimeoutError:
    pass

print("python sdk", openai.__version__, "ok")
