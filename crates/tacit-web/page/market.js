// Market: models with what is asked for them, workers with how they do, and the figures of recent answers.

import { h, put, table } from "./dom.js";
import { coinNumber, coins, coinsOf, day, many, ms, short, units } from "./format.js";
import { get } from "./gateway.js";
import { bars, dots, lying } from "./plot.js";

export async function market(root, _, signal) {
  const [models, languages, workers, history] = await Promise.all([
    get("/tacit/v1/models", signal), get("/v1/models", signal).then((list) => list.data, () => []),
    get("/tacit/v1/market", signal), get("/tacit/v1/history", signal),
  ]);
  put(root, h("h1", {}, "Market"),
    h("p", { class: "soft" }, "Whoever has a stake may ask a price for serving a model. You ask the cheapest that fits; nobody admits or ranks them."),
    h("h2", {}, "Models"), modelList(models, languages),
    h("h2", {}, "Prices"), priceplot(models, languages),
    h("h2", {}, "Workers"), workers.length === 0
      ? h("p", { class: "empty" }, "No worker asks on this ledger. Serve a model: ", h("code", {}, "tacit worker --help"))
      : h("div", { class: "cards" }, workers.map(workerCard)),
    h("div", { class: "plots" },
      h("section", {}, h("h2", {}, "How long recent answers took"), latency(history.answers)),
      h("section", {}, h("h2", {}, "Spent by day"), spent(history)),
      workers.filter((worker) => worker.local && worker.tallies.length > 0).map(earned)));
}

function cheapest(asks) {
  return asks.reduce((best, ask) => (best === undefined || units(ask.price) < units(best) ? ask.price : best), undefined);
}

function modelList(models, languages) {
  if (models.length === 0) return h("p", { class: "empty" }, "No model is published on this ledger. Publish one with ", h("code", {}, "tacit model publish"), " or by serving it.");
  return table([{ name: "Model" }, { name: "Id" }, { name: "Privacy" }, { name: "Evidence" }, { name: "Workers" }, { name: "From", right: true }],
    models.map((model) => {
      const language = languages.find((entry) => entry.id === model.name);
      const set = (key) => [...new Set(model.asks.map((ask) => ask[key]))].join(", ");
      return [
        model.asks.length > 0 ? h("a", { href: `#/ask/${encodeURIComponent(model.name)}` }, model.name) : model.name,
        short(model.model_id), set("privacy") || "–", set("evidence") || "–", String(new Set(model.asks.map((ask) => ask.worker)).size),
        language ? [coins(language.tacit.completion_price_per_million ?? "0"), h("span", { class: "unit" }, " / 1M tokens")] : model.asks.length > 0 ? coins(cheapest(model.asks)) : h("span", { class: "soft" }, "nobody serves it"),
      ];
    }));
}

function priceplot(models, languages) {
  const graphs = models.filter((model) => model.asks.length > 0 && !languages.some((entry) => entry.id === model.name));
  if (graphs.length === 0) return h("p", { class: "soft" }, "No prices for single answers now.");
  const entries = graphs.map((model) => ({ name: model.name, value: coinNumber(cheapest(model.asks)), text: `${cheapest(model.asks)} coin` }));
  entries.sort((a, b) => a.value - b.value);
  return lying(entries.slice(0, 20), { title: "Lowest price of one answer, by model, in coins" });
}

function workerCard(worker) {
  const health = worker.health;
  return h("div", { class: "card" },
    h("h3", {}, "Worker ", short(worker.worker), " ", h("span", { class: worker.reachable ? "tag good" : "tag wrong" }, worker.reachable ? `answers in ${ms(worker.round_trip_ms)}` : "does not answer")),
    worker.distrust && h("p", { class: "bad small" }, "Not asked again: ", worker.distrust),
    !worker.reachable && h("p", { class: "bad small" }, worker.trouble),
    h("p", { class: "small" }, h("code", {}, worker.endpoint), worker.local && h("span", { class: "soft" }, " · this machine")),
    h("p", { class: "small" }, h("span", { class: "soft" }, "Serves "), worker.models.join(", "), h("span", { class: "soft" }, ` (${many(worker.asks, "ask")})`)),
    h("p", { class: "small" }, h("span", { class: "soft" }, "At stake "), coins(worker.bonded), h("span", { class: "soft" }, " · promised by you "), coins(worker.promised)),
    worker.standing && h("p", { class: "small" }, h("span", { class: "soft" }, "Reputation "), coins(worker.standing.reputation), h("span", { class: "soft" }, ` · there in ${worker.standing.hours_beaten} of ${worker.standing.hours_covered} hours, by its own word · burnt `), coins(worker.standing.burnt)),
    worker.languages.map((language) => h("p", { class: "small" }, language.name, h("span", { class: "soft" }, `: ${language.running} of ${language.capacity} places taken, engine ${language.available ? "answers" : "does not answer"}`))),
    health && h("p", { class: "small" }, h("span", { class: "soft" }, "By the token: "), `answered ${(health.uptime * 100).toFixed(1)} % of ${many(health.requests, "request")}`, health.first_byte_ms !== undefined && health.first_byte_ms !== null && `, first byte after ${ms(health.first_byte_ms)}`, health.tokens_per_s && `, ${Math.round(health.tokens_per_s)} tokens a second`));
}

function latency(answers) {
  if (answers.length === 0) return h("p", { class: "soft" }, "No answers yet. ", h("a", { href: "#/ask" }, "Ask something"), ".");
  const points = [...answers].reverse();
  const say = (name, value, point) => `${name} ${ms(value)} · ${point.model}, ${point.evidence}`;
  return [
    h("div", { class: "key" }, h("span", {}, h("i", {}), "engine, as the worker says"), h("span", {}, h("i", { class: "other" }), "our checks, processor time")),
    dots([
      { name: "engine", values: points.map((point) => ({ value: point.engine_ms, say: say("engine", point.engine_ms, point) })) },
      { name: "checks", values: points.map((point) => ({ value: point.verify_cpu_ms, say: say("checks", point.verify_cpu_ms, point) })) },
    ], { unit: "milliseconds", title: `Time of the last ${points.length} answers, in milliseconds`, below: `${many(points.length, "answer")}, oldest to newest` }),
  ];
}

function spent(history) {
  if (history.days.length === 0) return h("p", { class: "soft" }, "Nothing was spent yet.");
  const entries = history.days.slice(-30).map((one) => ({
    name: day(one.day), parts: [coinNumber(one.spent_jobs), coinNumber(one.spent_streams)],
    say: `${day(one.day)}: ${coinsOf(units(one.spent_jobs) + units(one.spent_streams))} coin, ${many(one.answers, "answer")}, ${one.hidden} hidden, ${many(one.streams, "stream")}`,
  }));
  return [
    h("div", { class: "key" }, h("span", {}, h("i", {}), "answers"), h("span", {}, h("i", { class: "other" }), "by the token")),
    bars(entries, { unit: "coins", title: "Coins spent by day", below: "day (UTC)" }),
    !history.whole && h("p", { class: "soft small" }, "The oldest answers are not counted."),
  ];
}

function earned(worker) {
  const byDay = new Map();
  for (const tally of worker.tallies) byDay.set(tally.day, (byDay.get(tally.day) ?? 0) + coinNumber(tally.earned));
  return h("section", {},
    h("h2", {}, "Earned by the worker on this machine"),
    h("p", { class: "soft small" }, "Worker ", short(worker.worker), "; by model: ", h("code", {}, "tacit worker earnings --by model")),
    bars([...byDay].map(([date, value]) => ({ name: day(Date.parse(date) / 86_400_000), parts: [value], say: `${date}: ${value} coin` })), { unit: "coins", title: "Coins earned by day", below: "day (UTC)" }));
}
