// The gateway's typed HTTP. Everything this page knows comes through here, from its own origin.

/** What the gateway refused, in its words. */
export class Refusal extends Error {
  constructor(body, status) {
    super(body?.message ?? `the gateway answered with status ${status}`);
    this.code = body?.code ?? String(status);
    this.hint = body?.hint ?? "";
    this.status = status;
  }
}

async function refuse(response) {
  let body;
  try {
    body = (await response.json()).error;
  } catch {
    body = undefined;
  }
  throw new Refusal(body, response.status);
}

/** Reads. */
export async function get(path, signal) {
  const response = await fetch(path, { signal, headers: { accept: "application/json" } });
  return response.ok ? response.json() : refuse(response);
}

/** Has something done. */
export async function post(path, body, signal) {
  const response = await fetch(path, { method: "POST", signal, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  return response.ok ? response.json() : refuse(response);
}

/** Has something done and calls `told(name, data, comment)` for each event of the answer; comments have no name. */
export async function events(path, body, told, signal) {
  const response = await fetch(path, {
    method: "POST", signal, body: JSON.stringify(body),
    headers: { "content-type": "application/json", accept: "text/event-stream" },
  });
  if (!response.ok) return refuse(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    rest = (rest + (value ?? "")).replace(/\r\n/g, "\n");
    const parts = rest.split("\n\n");
    rest = done ? "" : parts.pop();
    for (const part of parts) tell(part, told);
    if (done) return undefined;
  }
}

function tell(text, told) {
  let name = "message";
  const data = [];
  for (const line of text.split("\n")) {
    if (line.startsWith(":")) told("comment", line.slice(1).trim());
    else if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).trim());
  }
  if (data.length > 0) told(name, data.join("\n"));
}
