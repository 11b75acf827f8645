// OpenAI's JavaScript SDK against the gateway: sdk.mjs URL KEY OTHER_KEY
// What the engine answers is written in crates/tacit-gateway/tests/it/sdk.rs.
import assert from "node:assert/strict";
import OpenAI from "openai";

const [url, apiKey, poorKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
const user = (content) => [{ role: "user", content }];
const chat = (content, more = {}) => client.chat.completions.create({ model: "talk", messages: user(content), ...more });

async function raises(kind, code, call) {
  try {
    await call();
  } catch (error) {
    assert.ok(error instanceof kind, `${error?.constructor?.name}: ${error}`);
    assert.equal(error.code, code);
    return error;
  }
  assert.fail(`no ${kind.name}`);
}

const models = [];
for await (const model of client.models.list()) models.push(model.id);
assert.deepEqual(models, ["talk", "vectors"]);
assert.equal((await client.models.retrieve("talk")).object, "model");

const plain = await chat("plain");
assert.equal(plain.choices[0].message.content, "four words of text");
assert.equal(plain.usage.completion_tokens, 18);
assert.match(plain._request_id, /^req_/);
const { response } = await chat("plain").withResponse();
assert.match(response.headers.get("x-tacit-receipt"), /^0x/);

let text = "";
let usage;
for await (const chunk of await chat("stream", { stream: true, stream_options: { include_usage: true } })) {
  text += chunk.choices[0]?.delta?.content ?? "";
  usage = chunk.usage ?? usage;
}
assert.equal(text, Array.from({ length: 40 }, (_, n) => `word ${n} `).join(""));
assert.equal(usage.completion_tokens, 40);

const tool = { type: "function", function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } } };
const called = await chat("tools", { tools: [tool] });
assert.deepEqual(called.choices[0].message.tool_calls[0].function, { name: "weather", arguments: '{"city":"Bern"}' });
const shaped = await chat("shape", { response_format: { type: "json_schema", json_schema: { name: "x", schema: { type: "object" } } } });
assert.equal(shaped.choices[0].message.content, '{"a":1}');
const likely = await chat("logprobs", { logprobs: true, top_logprobs: 1 });
assert.equal(likely.choices[0].logprobs.content[0].logprob, -0.25);
const done = await client.completions.create({ model: "talk", prompt: "once", max_tokens: 8 });
assert.equal(done.choices[0].text, " upon a time");
const vectors = await client.embeddings.create({ model: "vectors", input: ["a", "b"], encoding_format: "float" });
assert.deepEqual(vectors.data[1].embedding, [0.5, -1.5]);

await raises(OpenAI.NotFoundError, "model_not_found", () => client.chat.completions.create({ model: "no", messages: user("x") }));
await raises(OpenAI.BadRequestError, "engine_says_no", () => chat("refuse"));
await raises(OpenAI.AuthenticationError, "invalid_api_key", () => client.withOptions({ apiKey: "tk-no" }).models.list());
const poor = client.withOptions({ apiKey: poorKey });
const error = await raises(OpenAI.APIError, "cap_reached", () =>
  poor.chat.completions.create({ model: "talk", messages: user("plain"), max_tokens: 64 }));
assert.equal(error.status, 402);
await raises(OpenAI.InternalServerError, "engine_down", () => chat("down"));

const seen = [];
await raises(OpenAI.APIError, "broke_off", async () => {
  for await (const chunk of await chat("break", { stream: true })) seen.push(chunk.choices[0].delta.content);
});
assert.deepEqual(seen, ["some", "thing"]);

const start = performance.now();
const patient = await client.withOptions({ maxRetries: 2 }).chat.completions.create({ model: "talk", messages: user("busy once") });
assert.equal(patient.choices[0].message.content, "at last");
assert.ok(performance.now() - start >= 1900);

const endless = await chat("endless", { stream: true });
for await (const _ of endless) break;

await assert.rejects(client.withOptions({ timeout: 500 }).chat.completions.create({ model: "talk", messages: user("never") }), OpenAI.APIConnectionTimeoutError);

console.log("javascript sdk ok");
