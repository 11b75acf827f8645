// Money: what the wallet holds, what lies in channels, and what may be spent.

import { command, h, put, table } from "./dom.js";
import { coinNumber, coins, coinsOf, short, time, units } from "./format.js";
import { get } from "./gateway.js";

const DAY_S = 86_400;

export async function money(root, _, signal) {
  const [state, history] = await Promise.all([get("/tacit/v1/money", signal), get("/tacit/v1/history", signal)]);
  const open = state.channels.filter((channel) => channel.open);
  const sum = (key) => coinsOf(open.reduce((total, channel) => total + units(channel[key]), 0n));
  const today = history.days.find((one) => one.day === Math.floor(Date.now() / 1000 / DAY_S));
  put(root, h("h1", {}, "Money"),
    h("div", { class: "figures" },
      figure(coins(state.balance), "in the wallet"),
      figure(coins(sum("left")), "left in open channels"),
      figure(coins(sum("promised")), "promised on open channels"),
      figure(coins(today ? coinsOf(units(today.spent_jobs) + units(today.spent_streams)) : "0"), "spent on answers today")),
    h("p", { class: "small soft" }, "Account ", h("code", {}, state.address), ` on chain ${state.chain_id}. Its key stays in a file of the gateway; this page never sees it.`),
    h("h2", {}, "Channels"),
    state.channels.length === 0
      ? h("p", { class: "soft" }, "None yet. The first question to a worker opens one with a deposit of ", coins(state.caps.deposit), "; what is left comes home with ", h("code", {}, "tacit wallet reclaim"), ".")
      : [
        table([{ name: "Channel" }, { name: "Worker" }, { name: "State" }, { name: "Used" }, { name: "Deposit" }, { name: "Promised" }, { name: "Paid out" }, { name: "Left", right: true }],
          state.channels.map((channel) => [
            short(channel.channel_id), short(channel.worker), condition(channel), used(channel),
            coins(channel.deposit, false), coins(channel.promised, false), coins(channel.settled, false), coins(channel.left),
          ])),
        h("p", { class: "small soft" }, "Promised: what your vouchers add up to. Paid out: what the worker has had the ledger pay. The rest of a deposit comes home when a channel is closed:"),
        command("tacit wallet reclaim"),
        state.channel_count > state.channels.length && h("p", { class: "small soft" }, `${state.channels.length} of ${state.channel_count} channels are shown.`),
      ],
    h("h2", {}, "Caps"),
    h("div", { class: "cards" },
      cap("One answer", undefined, state.caps.request, "Most for one answer, where a question does not say."),
      cap("A day, by the token", state.spent_today_streams, state.caps.day, "For all answers of language models today (UTC)."),
      cap("A day, one key", undefined, state.caps.key_day, "For programs that use the OpenAI interface without a key, or with one that does not say.")),
    h("p", { class: "small soft" }, "Set when the gateway starts: ", h("code", {}, "tacit gateway --per-request 0.01 --per-day 1 --per-key-day 1 --deposit 0.1")));
}

function figure(value, name) {
  return h("div", { class: "figure" }, h("b", {}, value), h("span", {}, name));
}

function condition(channel) {
  if (channel.distrust) return h("span", { class: "tag wrong", title: channel.distrust }, "worker caught");
  if (!channel.open) return h("span", { class: "tag" }, "closed");
  if (channel.close_at) return ["closes ", time(channel.close_at)];
  if (channel.retired) return h("span", { class: "tag" }, "to be closed");
  return [h("span", { class: "tag good" }, "open"), channel.in_flight && h("span", { class: "soft small" }, " · an answer is awaited"), channel.streams && h("span", { class: "soft small" }, " · by the token")];
}

function used(channel) {
  const whole = coinNumber(channel.deposit) || 1;
  const share = (amount) => `${Math.min(100, (coinNumber(amount) / whole) * 100)}%`;
  const waiting = coinsOf(units(channel.promised) - units(channel.settled));
  return h("div", { class: "track", role: "img", "aria-label": `${channel.promised} of ${channel.deposit} coins promised` },
    h("i", { class: "rest", wide: share(channel.settled) }), h("i", { wide: share(waiting) }));
}

function cap(name, spent, most, say) {
  return h("div", { class: "card" }, h("h3", {}, name),
    h("p", {}, spent !== undefined && [coins(spent, false), h("span", { class: "soft" }, " of ")], coins(most)),
    spent !== undefined && h("div", { class: "track" }, h("i", { wide: `${Math.min(100, (coinNumber(spent) / (coinNumber(most) || 1)) * 100)}%` })),
    h("p", { class: "small soft" }, say));
}
