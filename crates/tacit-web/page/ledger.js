// Ledger: the newest blocks as they come, and one block with everything its transactions say to modules.

import { fields, h, put } from "./dom.js";
import { coins, many, short, time } from "./format.js";
import { get } from "./gateway.js";

const SHOWN = 25;
const LOOK_MS = 2_000;

export async function ledger(root, parameters, signal) {
  if (parameters[0]) return one(root, parameters[0], signal);
  const list = h("ol", { class: "blocks" });
  const head = h("p", { class: "soft" });
  const older = h("button", { type: "button" }, "Older blocks");
  let shown = [];
  let oldest;
  const show = (found, fresh) => {
    put(head, `Chain ${found.chain_id}, block ${found.latest.toLocaleString("en-GB").replace(/,/g, "\u202f")}. New blocks appear by themselves.`);
    put(list, shown.map((block) => h("li", { class: fresh.has(block.number) ? "fresh" : undefined },
      h("a", { href: `#/ledger/${block.number}`, class: "num" }, String(block.number)),
      h("span", { class: "words" }, block.actions.length === 0 ? h("span", { class: "soft small" }, "no transactions") : block.actions.map((action) => h("span", { class: "tag" }, action)), block.transactions > block.actions.length && h("span", { class: "soft small" }, `and ${block.transactions - block.actions.length} more`)),
      h("span", { class: "soft small" }, time(block.time_s)))));
    oldest = shown.at(-1)?.number;
    older.hidden = !oldest;
  };
  const first = await get(`/tacit/v1/blocks?limit=${SHOWN}`, signal);
  shown = first.blocks;
  put(root, h("h1", {}, "Ledger"), head, list, h("p", {}, older),
    h("p", { class: "soft small" }, "It speaks Ethereum's JSON-RPC: wallets, cast and viem work with it. Modules are native contracts; what is said to them is taken apart here by their interfaces."));
  show(first, new Set());
  older.addEventListener("click", async () => {
    const more = await get(`/tacit/v1/blocks?limit=${SHOWN}&before=${oldest}`, signal);
    shown = shown.concat(more.blocks);
    show(more, new Set());
  });
  const look = async () => {
    try {
      const found = await get(`/tacit/v1/blocks?limit=${SHOWN}`, signal);
      const known = shown[0]?.number ?? -1;
      const fresh = found.blocks.filter((block) => block.number > known);
      if (fresh.length > 0) {
        shown = fresh.concat(shown).slice(0, 500);
        show(found, new Set(fresh.map((block) => block.number)));
      }
    } catch {
      if (!signal.aborted) put(head, h("span", { class: "bad" }, "The ledger does not answer. Trying again …"));
    }
  };
  const timer = setInterval(look, LOOK_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  return undefined;
}

async function one(root, number, signal) {
  const block = await get(`/tacit/v1/blocks/${encodeURIComponent(number)}`, signal);
  put(root,
    h("p", { class: "small" }, h("a", { href: "#/ledger" }, "← Newest blocks"), " · ", block.number > 0 && h("a", { href: `#/ledger/${block.number - 1}` }, "earlier"), " · ", h("a", { href: `#/ledger/${block.number + 1}` }, "later")),
    h("h1", {}, `Block ${block.number}`),
    fields([
      ["Time", time(block.time_s)],
      ["Hash", h("code", {}, block.hash)],
      ["Before it", h("code", {}, block.parent)],
      ["State root", h("code", {}, block.state_root), "Of all accounts and slots after this block."],
      ["Gas", `${block.gas_used.toLocaleString("en-GB").replace(/,/g, "\u202f")} of ${block.gas_limit.toLocaleString("en-GB").replace(/,/g, "\u202f")}`],
    ]),
    h("h2", {}, many(block.count, "transaction")),
    block.count === 0 && h("p", { class: "soft" }, "Nothing happened in this block."),
    h("div", { class: "options" }, block.transactions.map(transaction)),
    block.count > block.transactions.length && h("p", { class: "soft" }, `The first ${block.transactions.length} are shown.`));
}

function transaction(tx) {
  return h("div", { class: "card" },
    h("h3", {}, tx.action, " ", !tx.succeeded && h("span", { class: "tag wrong" }, "failed")),
    h("p", { class: "small soft" }, short(tx.hash), " from ", short(tx.from), tx.to ? [" to ", short(tx.to)] : "", " · ", tx.value !== "0" && [coins(tx.value), " sent · "], many(tx.gas_used, "gas", "gas"), " · fee ", coins(tx.fee)),
    tx.call && said("Called", tx.call),
    tx.input && h("p", { class: "small" }, h("code", {}, tx.input)),
    tx.events.map((event) => said("Logged", event)),
    tx.other_logs > 0 && h("p", { class: "small soft" }, `${many(tx.other_logs, "log")} of other contracts.`));
}

function said(how, decoded) {
  return h("div", { class: "said small" },
    h("span", { class: "soft" }, how, " "), h("span", { class: "what" }, `${decoded.module}.${decoded.name}`),
    decoded.arguments.length > 0 && list(decoded.arguments));
}

const list = (entries) => h("dl", { class: "arguments" }, entries.map((entry) => [h("dt", {}, entry.name), entry.kind === "struct" ? [h("dd", {}), list(entry.value)] : h("dd", {}, value(entry))]));

function value({ kind, value: shown }) {
  switch (kind) {
    case "coins": return coins(shown);
    case "time": return shown === "0" ? "–" : time(Number(shown));
    case "address": case "hash": case "bytes": return h("code", {}, shown);
    case "list": return shown.length === 0 ? "none" : shown.map((entry) => h("div", {}, h("code", {}, Array.isArray(entry) ? JSON.stringify(entry) : entry)));
    default: return h("span", { class: "num" }, shown);
  }
}
