// Numbers and names as people read them, always with their unit.

import { h } from "./dom.js";

const UNIT = 10n ** 18n;

/** Smallest units of a decimal text of coins, exactly. */
export function units(coins) {
  const [whole, fraction = ""] = String(coins).split(".");
  return BigInt(whole || "0") * UNIT + BigInt(fraction.padEnd(18, "0").slice(0, 18));
}

/** Coins as a number, for plots and bars only. */
export const coinNumber = (coins) => Number(coins);

/** A decimal text of coins from smallest units. */
export function coinsOf(amount) {
  const sign = amount < 0n ? "-" : "";
  const size = amount < 0n ? -amount : amount;
  const fraction = (size % UNIT).toString().padStart(18, "0").replace(/0+$/, "");
  return sign + (size / UNIT) + (fraction ? "." + fraction : "");
}

/** Coins, cut to what can be read; the whole number of them is in the title. */
export function coins(text, unit = true) {
  const amount = units(text);
  const [whole, fraction = ""] = coinsOf(amount).split(".");
  let shown = fraction;
  if (whole !== "0") shown = fraction.slice(0, 4).replace(/0+$/, "");
  else if (fraction.length > 8) shown = fraction.slice(0, Math.max(8, fraction.search(/[1-9]/) + 3));
  const short = whole.replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f") + (shown ? "." + shown : "");
  return h("span", { class: "num", title: `${text} coins` }, short, unit && h("span", { class: "unit" }, " coin"));
}

/** Milliseconds. */
export function ms(time) {
  if (time === undefined || time === null) return "–";
  if (time >= 10_000) return `${(time / 1000).toFixed(1)}\u202fs`;
  if (time >= 1000) return `${(time / 1000).toFixed(2)}\u202fs`;
  return `${time >= 100 ? time.toFixed(0) : time >= 1 ? time.toFixed(1) : time.toFixed(2)}\u202fms`;
}

/** Bytes. */
export function bytes(count) {
  if (count >= 1e6) return `${(count / 1e6).toFixed(1)}\u202fMB`;
  if (count >= 1e3) return `${(count / 1e3).toFixed(1)}\u202fkB`;
  return `${count}\u202fB`;
}

/** A hash or an account, cut; whole in the title. */
export function short(hex, tag = "code") {
  const text = hex.length > 14 ? `${hex.slice(0, 8)}…${hex.slice(-4)}` : hex;
  return h(tag, { title: hex }, text);
}

/** A moment, in the reader's own time. */
export function time(seconds) {
  const date = new Date(seconds * 1000);
  const today = date.toDateString() === new Date().toDateString();
  const text = date.toLocaleString("en-GB", today ? { hour: "2-digit", minute: "2-digit", second: "2-digit" } : { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  return h("time", { datetime: date.toISOString(), title: date.toISOString(), class: "num" }, text);
}

/** A day since 1970. */
export function day(number) {
  return new Date(number * 86_400_000).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
}

/** A count with its word. */
export const many = (count, word, words = word + "s") => `${count.toLocaleString("en-GB").replace(/,/g, "\u202f")} ${count === 1 ? word : words}`;

/** A score. */
export const score = (number) => (Math.abs(number) >= 100 ? number.toFixed(0) : number.toFixed(2));
