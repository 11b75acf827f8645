// A language model: a talk that streams, with what it costs so far.

import { h, put, trouble } from "./dom.js";
import { coins, coinsOf, many, ms, short, units } from "./format.js";
import { events } from "./gateway.js";

const ANSWER_TOKENS = 400;
const MILLION = 1_000_000n;

export function chat(form, life, model, language, signal) {
  const prices = language.tacit;
  const messages = [];
  const talk = h("div", { class: "talk", "aria-live": "polite" });
  const text = h("textarea", { id: "say", placeholder: "Write to the model", "aria-label": "Your message" });
  const send = h("button", { class: "main", type: "submit" }, "Send");
  const stop = h("button", { type: "button", disabled: true }, "Stop");
  const note = (entries) => put(life, h("h2", {}, "This answer"), entries);
  note(h("p", { class: "soft" }, "Each token is counted by both sides. A voucher follows every 16 tokens: no voucher, no further tokens; no tokens, no further voucher."));
  put(form,
    h("p", { class: "soft small" }, "Prompt ", coins(prices.prompt_price_per_million ?? "0"), ", completion ", coins(prices.completion_price_per_million ?? "0"), " for a million tokens, from the cheapest of ", many(prices.workers, "worker"), ". Your words are sealed to the worker."),
    talk,
    h("form", { onsubmit: (event) => { event.preventDefault(); say(); } }, h("fieldset", {}, text), h("div", { class: "act" }, send, stop)));
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      say();
    }
  });

  async function say() {
    const words = text.value.trim();
    if (!words || send.disabled) return;
    text.value = "";
    messages.push({ role: "user", content: words });
    const box = h("div", { class: "model" }, "…");
    talk.append(h("div", { class: "me" }, words), box);
    const leaving = new AbortController();
    const both = AbortSignal.any([signal, leaving.signal]);
    const leave = () => leaving.abort();
    stop.addEventListener("click", leave, { once: true });
    send.disabled = true;
    stop.disabled = false;
    const begun = performance.now();
    let answer = "";
    let tokens = 0;
    let first;
    let outcome;
    const show = () => {
      const each = units(prices.completion_price_per_million ?? "0");
      const cost = outcome ? outcome.price : coinsOf((each * BigInt(tokens)) / MILLION);
      const took = performance.now() - begun;
      note([h("div", { class: "figures" },
        figure(outcome ? outcome.completion_tokens : tokens, "tokens"),
        h("div", { class: "figure" }, h("b", {}, coins(cost)), h("span", {}, outcome ? "paid in all" : "so far, the prompt not counted")),
        figure(first === undefined ? "–" : ms(first), "to the first token"),
        tokens > 1 && figure(Math.round((tokens / took) * 1000), "tokens a second")),
      outcome && h("p", {}, h("span", { class: "tag good" }, "receipt"), " ", short(outcome.receipt), " by worker ", short(outcome.worker), ", ", many(outcome.prompt_tokens, "token"), " of prompt. ", h("a", { href: `#/receipts/${outcome.receipt}` }, "See it"))]);
    };
    try {
      await events("/v1/chat/completions", { model: model.name, messages, stream: true, max_tokens: ANSWER_TOKENS }, (name, data) => {
        if (name === "comment") {
          if (data.startsWith("tacit ")) outcome = JSON.parse(data.slice(6));
        } else if (data !== "[DONE]") {
          const part = JSON.parse(data);
          if (part.error) throw part.error;
          const piece = part.choices?.[0]?.delta?.content;
          if (piece) {
            first ??= performance.now() - begun;
            tokens += 1;
            answer += piece;
            box.textContent = answer;
          }
        }
        show();
      }, both);
    } catch (error) {
      if (!leaving.signal.aborted) {
        const hint = error.status === 401 ? "Keys guard this door: remove keys.json from the gateway's folder, or ask from a program that has one." : error.hint;
        talk.append(trouble({ message: error.message, code: error.code ?? "broke_off", hint }));
      }
    }
    if (answer) messages.push({ role: "assistant", content: answer });
    else box.remove();
    stop.removeEventListener("click", leave);
    send.disabled = false;
    stop.disabled = true;
    text.focus();
  }
}

function figure(value, name) {
  return h("div", { class: "figure" }, h("b", {}, String(value)), h("span", {}, name));
}
