// Receipts: all of them, and one with everything it says. Verifying is done by the gateway, from the bytes on its disk.

import { command, fields, h, put, table, trouble } from "./dom.js";
import { bytes, coins, coinsOf, many, ms, score, short, time } from "./format.js";
import { get, post } from "./gateway.js";
import { CHECKS, EVIDENCE, FIELDS, PRIVACY, STREAM_FIELDS } from "./words.js";
import { picture } from "./canvas.js";
import { result } from "./ask.js";

const SHOWN = 40;
const KINDS = { question: undefined, canary: "hidden question", known_row: "proof for hidden questions", second: "asked of a second worker" };

export async function receipts(root, parameters, signal) {
  if (parameters[0]) {
    const entry = await get(`/tacit/v1/receipts/${encodeURIComponent(parameters[0])}`, signal);
    return entry.kind === "stream" ? oneStream(root, entry.job_id, signal) : one(root, entry.job_id, signal);
  }
  const [jobs, streams] = await Promise.all([get("/tacit/v1/receipts", signal), get("/tacit/v1/streams", signal)]);
  put(root, h("h1", {}, "Receipts"),
    h("p", { class: "soft" }, "What workers signed for. Each can be checked again, here or anywhere, without trusting this page."),
    jobs.length === 0 && streams.length === 0 && h("p", { class: "empty" }, "No receipts yet. ", h("a", { href: "#/ask" }, "Ask something"), ": its receipt will be here."),
    jobs.length > 0 && shortList(jobs, (shown) => table([{ name: "Receipt" }, { name: "Model" }, { name: "Privacy" }, { name: "Evidence" }, { name: "Answered" }, { name: "Block" }, { name: "Price", right: true }],
      shown.map((entry) => [
        h("a", { href: `#/receipts/${entry.receipt}` }, short(entry.receipt)),
        [entry.model, KINDS[entry.kind] && h("span", { class: "soft small" }, ` · ${KINDS[entry.kind]}`)],
        entry.privacy, [entry.evidence, audit(entry.audit)], time(entry.completed_at),
        entry.block === undefined ? h("span", { class: "soft", title: "Not known yet: open the receipt to look" }, "–") : h("a", { href: `#/ledger/${entry.block}`, class: "num" }, entry.block),
        coins(entry.price),
      ]))),
    streams.length > 0 && [h("h2", {}, "Language models"), shortList(streams, (shown) => table([{ name: "Job" }, { name: "Model" }, { name: "Answered" }, { name: "Tokens" }, { name: "Worker" }, { name: "Price", right: true }],
      shown.map((entry) => [
        h("a", { href: `#/receipts/${entry.receipt.jobId}` }, short(entry.receipt.jobId)), [entry.model, entry.fault && h("span", { class: "bad" }, ` · ${entry.fault.message}`)], time(entry.receipt.completedAt),
        `${entry.counted.prompt} + ${entry.counted.completion}`, short(entry.receipt.worker), coins(coinsOf(BigInt(entry.receipt.price))),
      ])))]);
  return undefined;
}

/** The first of them; all, when one wants. */
function shortList(entries, draw) {
  const box = h("div", {}, draw(entries.slice(0, SHOWN)));
  if (entries.length > SHOWN) box.append(h("p", {}, h("button", { type: "button", onclick: () => put(box, draw(entries)) }, `Show all ${entries.length}`)));
  return box;
}

function audit(state) {
  if (!state || state.state === "no_weights") return undefined;
  const words = { due: "audit due", not_drawn: "not drawn", passed: "audit passed", disputed: "disputed", convicted: "convicted", unpunished: "false" };
  const tone = state.state === "passed" ? "tag good" : ["disputed", "convicted", "unpunished"].includes(state.state) ? "tag wrong" : "tag";
  return [" ", h("span", { class: tone }, words[state.state] ?? state.state)];
}

async function one(root, id, signal) {
  const detail = await get(`/tacit/v1/receipts/${encodeURIComponent(id)}/detail`, signal);
  const { answer, signed } = detail;
  const model = await get(`/tacit/v1/models/${answer.model_id}`, signal).catch(() => undefined);
  const file = `receipt-${answer.receipt.slice(2, 10)}.json`;
  put(root,
    h("p", { class: "small" }, h("a", { href: "#/receipts" }, "← All receipts")),
    h("h1", {}, "Receipt ", short(answer.receipt)),
    result(answer, false),
    h("div", { class: "two" },
      h("div", {},
        h("h2", { class: "first" }, "The question"), asked(detail, model?.graph),
        h("h2", {}, "What the worker signed"),
        fields([
          ["Model", [answer.model, " ", short(answer.model_id)]],
          ["Privacy", answer.privacy, PRIVACY[answer.privacy]],
          ["Evidence", [answer.evidence, audit(answer.audit)], evidence(answer)],
          ["Price", coins(answer.price), ["On the channel so far: ", coins(coinsOf(BigInt(signed.cumulative))), ", this answer included."]],
          ["Answered", time(signed.completedAt), "By the worker's clock."],
          ...FIELDS.map(([key, name, say]) => [name, h("code", {}, signed[key]), say]),
        ])),
      h("section", { class: "panel early" },
        h("div", { class: "card" },
          h("h3", {}, "Is it true?"),
          h("p", { class: "soft small" }, "Reads the receipt from disk and makes every check again: signature, commitments, proof, Merkle path, and the anchor on the ledger."),
          checker(answer.receipt, signal)),
        h("h2", {}, "Check it elsewhere"),
        h("p", { class: "soft small" }, "The file holds question and answer in the clear, and all that proves them. It needs neither this gateway nor a network."),
        h("p", {}, h("a", { class: "button", href: `/tacit/v1/receipts/${answer.receipt}/bundle`, download: file }, "Download the receipt")),
        command(`tacit receipt verify ${file}`),
        h("h2", {}, "Figures"),
        fields([
          ["Engine", ms(answer.prove_ms), "From start to end, as the worker says."],
          ["Our checks", ms(answer.verify_cpu_ms), "Processor time, when the answer came."],
          answer.proof_bytes > 0 && ["Proof", bytes(answer.proof_bytes), answer.proved_together > 1 ? `One proof for ${answer.proved_together} jobs.` : undefined],
          ["Sent, received", `${bytes(answer.bytes_up)}, ${bytes(answer.bytes_down)}`],
          ["Ledger", detail.anchor ? ["chain ", String(detail.chain_id), ", ", h("a", { href: `#/ledger/${detail.anchor.block}` }, `block ${detail.anchor.block}`)] : `chain ${detail.chain_id}, not anchored yet`,
            detail.anchor && ["Batch root ", short(detail.anchor.root), `, ${many(detail.anchor.siblings.length, "step")}.`]],
        ]))));
}

/** A button that has everything checked again, and what came out. */
function checker(id, signal) {
  const checks = h("div", { id: "checks", "aria-live": "polite" });
  const verify = h("button", { class: "main", type: "button", id: "verify" }, "Verify");
  verify.addEventListener("click", async () => {
    verify.disabled = true;
    put(checks, h("p", { class: "soft" }, "Checking …"));
    try {
      put(checks, verdict(await post(`/tacit/v1/receipts/${id}/verify`, {}, signal)));
    } catch (error) {
      put(checks, trouble(error));
    }
    verify.disabled = false;
  });
  return [verify, checks];
}

/** A receipt of a language model: what was said, what was counted, what was signed. */
async function oneStream(root, id, signal) {
  const record = await get(`/tacit/v1/streams/${encodeURIComponent(id)}`, signal);
  const signed = record.receipt;
  // Request and answer are forgotten before their receipt is.
  const saved = await get(`/tacit/v1/receipts/${signed.jobId}/bundle`, signal).catch((error) => ({ gone: error }));
  const file = `receipt-${signed.jobId.slice(2, 10)}.json`;
  const tokens = (count) => `${many(count.prompt, "token")} of prompt, ${count.completion} of answer`;
  put(root,
    h("p", { class: "small" }, h("a", { href: "#/receipts" }, "← All receipts")),
    h("h1", {}, "Receipt of ", record.model),
    record.fault && h("div", { class: "note wrong", role: "alert" }, h("p", {}, h("b", {}, "False: "), record.fault.message)),
    h("div", { class: "two" },
      h("div", {},
        h("h2", { class: "first" }, "What was said"),
        saved.gone ? h("p", { class: "soft" }, "Request and answer are not kept any more; the receipt is.") : said(saved),
        h("h2", {}, "What the worker signed"),
        fields([
          ["Model", [record.model, " ", short(signed.modelId)]],
          ["Privacy", record.privacy, PRIVACY[record.privacy]],
          ["Evidence", record.evidence, EVIDENCE[record.evidence]],
          ["Price", coins(coinsOf(BigInt(signed.price))), ["On the channel so far: ", coins(coinsOf(BigInt(signed.cumulative))), ", this answer included."]],
          ["Answered", time(signed.completedAt), "By the worker's clock."],
          ...FIELDS.map(([key, name, say]) => [name, h("code", {}, signed[key]), STREAM_FIELDS[key] ?? say]),
        ])),
      h("section", { class: "panel early" },
        h("div", { class: "card" },
          h("h3", {}, "Is it true?"),
          h("p", { class: "soft small" }, "Checks signature and commitments again, and counts every token again with the tokenizer that the model's id names. That this model answered is the worker's word."),
          saved.gone ? trouble(saved.gone) : checker(signed.jobId, signal)),
        !saved.gone && [
          h("h2", {}, "Check it elsewhere"),
          h("p", { class: "soft small" }, "The file holds request and answer in the clear. With the tokenizer beside it whoever has it counts again."),
          h("p", {}, h("a", { class: "button", href: `/tacit/v1/receipts/${signed.jobId}/bundle`, download: file }, "Download the receipt"), " ",
            h("a", { class: "button", href: `/tacit/v1/tokenizers/${signed.modelId}`, download: `${file}.tokenizer` }, "Download the tokenizer")),
          command(`tacit receipt verify ${file}`)],
        h("h2", {}, "Figures"),
        fields([
          ["We counted", tokens(record.counted)],
          ["The worker says", tokens(record.claimed)],
          ["It ended", record.reason.replaceAll("_", " ")],
          ["Worker", short(signed.worker)],
          ["Ledger", record.anchor ? h("a", { href: `#/ledger/${record.anchor.block}` }, `block ${record.anchor.block}`) : "not anchored yet, as far as is known here"],
        ]))));
}

/** Request and answer, as texts. */
function said(saved) {
  const text = (base64) => new TextDecoder().decode(Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)));
  const [request, answer] = [text(saved.request), text(saved.answer)];
  let turns = [];
  try {
    const asked = JSON.parse(request);
    const content = (value) => (typeof value === "string" ? value : JSON.stringify(value));
    turns = (asked.messages ?? [{ role: "user", content: asked.prompt ?? asked.input ?? "" }]).map((turn) => [turn.role, content(turn.content ?? "")]);
  } catch {
    turns = [["user", request]];
  }
  return h("div", { class: "talk" },
    turns.map(([role, words]) => h("div", { class: role === "assistant" ? "model" : "me" }, words)),
    h("div", { class: "model" }, reply(answer) || h("span", { class: "soft" }, "nothing")),
    h("details", {}, h("summary", {}, "As it travelled"), h("pre", {}, request), h("pre", {}, answer)));
}

/** The text of an answer, of one JSON value or of events. */
function reply(answer) {
  const words = (value) => (value.choices ?? []).map((choice) => choice.message?.content ?? choice.delta?.content ?? choice.text ?? "").join("");
  const parts = answer.startsWith("data:") || answer.includes("\ndata:")
    ? answer.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim())
    : [answer];
  return parts.map((part) => {
    try {
      return words(JSON.parse(part));
    } catch {
      return "";
    }
  }).join("");
}

function evidence(answer) {
  if (answer.evidence === "proved") return `${EVIDENCE.proved} ${bytes(answer.proof_bytes)}.`;
  if (answer.canaries_asked > 0) return `${answer.canaries_passed} of ${answer.canaries_asked} hidden questions to this worker were answered rightly.`;
  return EVIDENCE[answer.evidence];
}

function asked(detail, graph) {
  const side = Math.sqrt(detail.input.length);
  const numbers = h("details", {}, h("summary", {}, many(detail.input.length, "number")), h("pre", {}, detail.input.map((value) => Number(value.toFixed(4))).join(" ")));
  if (graph && graph.columns.length > 0) {
    const named = [];
    let at = 0;
    for (const column of graph.columns) {
      const length = Math.max(1, column.kinds.length);
      const values = detail.input.slice(at, at + length);
      named.push([column.name, column.kinds.length > 0 ? column.kinds[values.findIndex((value) => value > 0)] ?? "–" : score4(values[0])]);
      at += length;
    }
    const whole = at === detail.input.length;
    return whole ? h("details", {}, h("summary", {}, many(named.length, "column")), fields(named)) : numbers;
  }
  if (Number.isInteger(side) && side >= 4) return [picture(side, graph?.range ?? [0, Math.max(...detail.input, 1)], detail.input, "The question", "sees"), numbers];
  return numbers;
}

const score4 = (value) => String(Number(value.toFixed(4)));

/** Words, with what is long in them cut. */
const shortened = (text) => text.split(/(0x[0-9a-fA-F]{40,})/).map((part, index) => (index % 2 === 1 ? short(part) : part));

function verdict(found) {
  const marks = { passed: "✓", failed: "✗", open: "–" };
  return [
    h("p", { class: found.verified ? "verdict" : "verdict bad", id: "verdict", "data-verified": String(found.verified) },
      h("b", {}, found.verified ? "Verified" : "Refused"), ` in ${ms(found.took_ms)}`, found.security_bits && `, proof at ${found.security_bits} bits`),
    h("ol", { class: "checks" }, found.checks.map((check) => {
      const [title, say] = CHECKS[check.name] ?? [check.name, ""];
      return h("li", { class: check.outcome, "data-check": check.name },
        h("span", { class: "mark", "aria-label": check.outcome }, marks[check.outcome]), h("span", { title: say }, title), h("span", { class: "num soft small" }, check.took_ms > 0 ? ms(check.took_ms) : ""),
        h("span", { class: "say" }, shortened(check.detail)));
    })),
  ];
}
