// Ask: a question, what it may be seen by and believed for, and its life as it happens.

import { h, put, trouble } from "./dom.js";
import { bytes, coins, ms, score, short, units } from "./format.js";
import { events, get } from "./gateway.js";
import { AUDITED_ENCRYPTED, EVIDENCE, PRIVACY, STAGES } from "./words.js";
import { pad } from "./canvas.js";
import { chat } from "./chat.js";

const SAMPLES = new URL("./samples.json", import.meta.url);
const ANCHOR_WAIT_MS = 10_000;
const ORDER = ["sealed", "encrypted", "clear", "enclave", "shared"];
/** Known at one moment, when the answer is opened. */
const TOGETHER = ["proved", "received"];
const STRENGTH = ["proved", "audited", "signed", "attested"];

export async function ask(root, parameters, signal) {
  let guarded = false;
  const [models, languages, samples] = await Promise.all([
    get("/tacit/v1/models", signal),
    get("/v1/models", signal).then((list) => list.data, (error) => { guarded = error.status === 401; return []; }),
    get(SAMPLES, signal),
  ]);
  const served = models.filter((model) => model.asks.length > 0);
  if (served.length === 0) {
    put(root, h("h1", {}, "Ask"), h("p", { class: "empty" }, "Nobody serves a model on this ledger yet. Serve one with ", h("code", {}, "tacit worker"), ", or start a network with models: ", h("code", {}, "tacit up"), "."));
    return;
  }
  // What people look for first.
  served.sort((a, b) => (b.name === "digits") - (a.name === "digits") || a.name.localeCompare(b.name));
  const wanted = served.find((model) => model.name === parameters[0]) ?? served[0];
  const form = h("div", {});
  const choose = h("select", { id: "model", onchange: () => { location.hash = `#/ask/${encodeURIComponent(choose.value)}`; } },
    served.map((model) => h("option", { value: model.name, selected: model === wanted }, model.name)));
  const language = languages.find((entry) => entry.id === wanted.name);
  put(root, h("h1", {}, "Ask a model"),
    h("div", { class: "two" },
      h("div", {}, h("fieldset", {}, h("label", { class: "title", for: "model" }, "Model"), choose,
        guarded && h("p", { class: "soft small" }, "Language models are behind keys here, and this page has none: ask them from a program, or remove keys.json from the gateway's folder.")), form),
      h("section", { class: "panel", "aria-label": "Life of the question", id: "life" })));
  const life = root.querySelector("#life");
  if (language) {
    chat(form, life, wanted, language, signal);
    return;
  }
  put(life, stages([]));
  const detail = await get(`/tacit/v1/models/${wanted.model_id}`, signal);
  question(form, life, detail, samples, signal);
}

/** Samples for a model: those of its name, or of a model with as many inputs and no names. */
function samplesFor(detail, samples) {
  const own = samples[detail.model.name];
  if (own) return own;
  const length = detail.graph?.inputs;
  const fits = (rows) => Object.values(rows).every((input) => input.data?.length === length);
  return (detail.graph?.columns.length === 0 && Object.values(samples).find(fits)) || {};
}

function question(form, life, detail, samples, signal) {
  const graph = detail.graph;
  const own = samplesFor(detail, samples);
  const side = graph ? Math.sqrt(graph.inputs) : NaN;
  let input;
  if (graph && graph.columns.length === 0 && Number.isInteger(side) && side >= 4 && graph.range) input = pad(side, graph.range, own, [graph.inputs]);
  else if (graph && graph.columns.length > 0) input = columns(graph, own);
  else input = json(graph, own);
  const free = json(graph, own);
  const asJson = h("details", {}, h("summary", {}, "Give it as JSON instead"), free.node);
  const modes = choice(detail.model.asks);
  const button = h("button", { class: "main", type: "submit", id: "ask" }, "Ask");
  const price = () => {
    const offer = modes.chosen();
    put(button, "Ask", offer && [" for ", coins(offer.price, false), " coin"]);
    button.disabled = !offer;
  };
  modes.changed = price;
  const wrong = h("div", {});
  const submit = async (event) => {
    event.preventDefault();
    put(wrong);
    let value;
    try {
      value = asJson.open && input !== free ? free.input() : input.input();
    } catch (error) {
      put(wrong, trouble({ message: error.message, code: "input", hint: "" }, "Not asked: "));
      return;
    }
    button.disabled = true;
    await follow(life, { model: detail.model.name, input: value, privacy: modes.privacy(), evidence: modes.evidence(), anchor_wait_ms: ANCHOR_WAIT_MS }, signal);
    button.disabled = false;
  };
  put(form, h("form", { onsubmit: submit },
    h("fieldset", {}, h("legend", {}, "Question"), input.node, input !== free && asJson),
    modes.node, wrong, button));
  price();
}

function columns(graph, own) {
  const inputs = graph.columns.map((column) => {
    const range = column.range && `${score(column.range[0])} to ${score(column.range[1])}`;
    const field = column.kinds.length > 0
      ? h("select", {}, column.kinds.map((kind) => h("option", {}, kind)))
      : h("input", { type: "text", inputmode: "decimal", autocomplete: "off", placeholder: range ?? "number" });
    return [column, field, h("label", { title: range && `told apart from ${range}` }, column.name, field)];
  });
  const set = (row) => inputs.forEach(([column, field], index) => { field.value = String(row.row ? row.row[column.name] : row.data[index]); });
  const chips = Object.entries(own).map(([name, row]) => h("button", { type: "button", onclick: () => set(row) }, name));
  const node = h("div", {},
    h("div", { class: "columns" }, inputs.map(([, , label]) => label)),
    chips.length > 0 && h("div", { class: "chips" }, h("span", { class: "soft small" }, "Fill in a sample:"), chips));
  return {
    node,
    input() {
      const row = {};
      for (const [column, field] of inputs) {
        const text = field.value.trim();
        if (text === "") {
          field.focus();
          throw new Error(`“${column.name}” is empty. Fill in every column, or choose a sample.`);
        }
        // A number keeps the digits it was written with; what it means is for the gateway to say.
        row[column.name] = column.kinds.length > 0 || !/^-?\d+(\.\d+)?$/.test(text) ? text : Number(text);
      }
      return { row };
    },
  };
}

function json(graph, own) {
  const first = Object.values(own)[0];
  const area = h("textarea", { spellcheck: false, class: "mono", "aria-label": "Question as JSON" }, JSON.stringify(first ?? { shape: [graph?.inputs ?? 1], data: new Array(graph?.inputs ?? 1).fill(0) }));
  return {
    node: h("div", {}, area),
    input() {
      try {
        return JSON.parse(area.value);
      } catch {
        throw new Error("That is not JSON. A question is {\"shape\":[n],\"data\":[…]} or {\"row\":{…}}.");
      }
    },
  };
}

/** Privacy and evidence, as far as somebody offers them. */
function choice(asks) {
  const cheapest = (fits) => asks.filter(fits).reduce((best, ask) => (!best || units(ask.price) < units(best.price) ? ask : best), undefined);
  const offered = ORDER.filter((privacy) => asks.some((ask) => ask.privacy === privacy));
  const self = { node: h("div", {}), changed: () => {}, privacy: () => privacy, evidence: () => evidence, chosen: () => cheapest((ask) => ask.privacy === privacy && ask.evidence === evidence) };
  let privacy = offered[0];
  let evidence;
  const option = (group, name, say, ask, checked, pick) => h("label", { class: "option" },
    h("input", { type: "radio", name: group, value: name, checked, disabled: !ask, onchange: pick }),
    h("b", {}, name), h("span", {}, ask ? coins(ask.price) : h("span", { class: "soft small" }, "nobody offers it")),
    h("span", { class: "say" }, say));
  function show() {
    const all = STRENGTH.filter((name) => asks.some((ask) => ask.evidence === name));
    const possible = all.filter((name) => asks.some((ask) => ask.privacy === privacy && ask.evidence === name));
    if (!possible.includes(evidence)) evidence = possible[0];
    put(self.node,
      h("fieldset", {}, h("legend", {}, "Privacy: who can see the question"), h("div", { class: "options" }, offered.map((name) =>
        option("privacy", name, PRIVACY[name], cheapest((ask) => ask.privacy === name), name === privacy, () => { privacy = name; show(); self.node.querySelector(`[value="${name}"]`).focus(); })))),
      h("fieldset", {}, h("legend", {}, "Evidence: why the answer is believed"), h("div", { class: "options" }, all.map((name) =>
        option("evidence", name, name === "audited" && privacy === "encrypted" ? AUDITED_ENCRYPTED : EVIDENCE[name], cheapest((ask) => ask.privacy === privacy && ask.evidence === name), name === evidence, () => { evidence = name; self.changed(); })))));
    self.changed();
  }
  show();
  return self;
}

/** The stages so far; `open` while more may come. */
function stages(told, state = "before", evidence) {
  const reached = new Map(told.map((event) => [event.stage, event]));
  const last = STAGES.findLastIndex(([name]) => reached.has(name));
  let before = 0;
  return h("div", {},
    h("h2", { class: "first" }, state === "before" ? "What will happen" : "Life of this question"),
    h("ol", { class: "life", id: "stages", "data-state": state }, STAGES.map(([name, title, say], index) => {
      const event = reached.get(name);
      let tone = event ? "done" : "";
      if (!event && state !== "before") {
        if (index < last || (state === "done" && name !== "anchored")) tone = "skipped";
        else if (index === STAGES.findIndex(([other], at) => at > last && !reached.has(other) && !(other === "proved" && evidence !== "proved"))) tone = state === "failed" ? "failed" : state === "running" || state === "anchoring" ? "now" : "";
      }
      const took = event && event.at_ms - before;
      if (event) before = event.at_ms;
      const skipped = tone === "skipped" && name === "proved" ? "Not part of what was asked for." : say;
      return h("li", { class: tone, "data-stage": name },
        h("span", { class: "what" }, title), h("span", { class: "num small" }, event && !(took < 0.5 && TOGETHER.includes(name)) ? ["+", ms(took)] : ""),
        h("span", { class: "say" }, event ? said(event, say) : skipped));
    })),
    state !== "before" && told.length > 0 && h("p", { class: "soft small" }, `${ms(told.at(-1).at_ms)} from the question to here, as this gateway measured it.`));
}

function said(event, say) {
  switch (event.stage) {
    case "found": return ["worker ", short(event.worker), " asks ", coins(event.price)];
    case "channel": return ["channel ", short(event.channel_id)];
    case "sealed": return `${bytes(event.bytes)}, kept here first`;
    case "run": return `engine worked ${ms(event.took_ms)}, as the worker says`;
    case "proved": return `proof of ${bytes(event.bytes)}`;
    case "received": return `${bytes(event.bytes)}, and it opens`;
    case "verified": return `${ms(event.took_ms)} of processor time`;
    case "paid": return [coins(event.price), " by voucher, no transaction"];
    case "anchored": return ["in ", h("a", { href: `#/ledger/${event.block}` }, `block ${event.block}`)];
    default: return say;
  }
}

async function follow(life, request, signal) {
  let told = [];
  let answer;
  let failed;
  const retries = [];
  const show = (state) => put(life,
    retries.map((retry) => h("p", { class: "soft small" }, "Worker ", short(retry.worker), " was given up: ", retry.error.message)),
    failed && trouble(failed), answer && result(answer), stages(told, state, request.evidence));
  life.setAttribute("aria-live", "polite");
  show("running");
  try {
    await events("/tacit/v1/ask", request, (name, data) => {
      if (name === "comment") return;
      const value = JSON.parse(data);
      if (name === "stage") told.push(value);
      else if (name === "answer") answer = value;
      else if (name === "error") failed = value.error;
      else if (name === "retry") {
        retries.push(value);
        told = [];
      }
      show(failed ? "failed" : answer ? "anchoring" : "running");
    }, signal);
  } catch (error) {
    if (signal.aborted) return;
    failed = error;
  }
  if (!answer && !failed) failed = { code: "cut", message: "the gateway ended before the answer came", hint: "ask again; what was answered is under Receipts" };
  show(failed ? "failed" : "done");
  life.scrollIntoView({ block: "nearest", behavior: "smooth" });
}

/** An answer in large letters, with what it beat; `link` leads to its receipt. */
export function result(answer, link = true) {
  const text = answer.label ?? answer.values?.map(score).join("  ") ?? "";
  const best = [...answer.scores].sort((a, b) => b.score - a.score).slice(0, 4);
  const least = Math.min(...answer.scores.map((entry) => entry.score));
  const most = Math.max(...answer.scores.map((entry) => entry.score));
  return h("div", { class: "answer", id: "answer" },
    h("div", { class: "soft small" }, answer.model, " answers"),
    h("div", { class: text.length > 12 ? "word long" : "word" }, text),
    best.length > 1 && h("div", { class: "scores" }, best.map((entry) => [
      h("span", {}, entry.label), bar((entry.score - least) / (most - least || 1)), h("span", { class: "num soft" }, score(entry.score)),
    ])),
    best.length === 1 && h("p", { class: "soft small" }, `${score(answer.margin)} from the threshold`),
    h("div", { class: "chips" },
      h("span", { class: answer.verified ? "tag good" : "tag" }, answer.verified ? "proof verified" : answer.evidence),
      h("span", { class: answer.paid ? "tag good" : "tag" }, answer.paid ? ["paid ", coins(answer.price)] : "payment on its way"),
      link && h("a", { href: `#/receipts/${answer.receipt}`, id: "to-receipt" }, "Receipt and verification")));
}

function bar(share) {
  return h("div", { class: "track" }, h("i", { wide: `${Math.max(0, Math.min(1, share)) * 100}%` }));
}


