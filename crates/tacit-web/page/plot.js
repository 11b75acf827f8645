// Small plots: dots over time, bars. Axes have names and units; every mark says its value when it is pointed at.

import { s } from "./dom.js";

/** As wide as there is room, so that letters keep their size. */
let W = 640;
const fit = (most = 640) => { W = Math.max(300, Math.min(most, document.documentElement.clientWidth - 36)); };
/** Two of these stand beside each other where there is room. */
const HALF = 500;
const LEFT = 56;
const RIGHT = 12;
const TOP = 30;

/** Round steps up to at least `most`. */
function steps(most) {
  if (!(most > 0)) return [0, 1];
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate * 4 >= most);
  return [0, 1, 2, 3, 4].map((index) => index * step).filter((value, index, all) => index < 2 || all[index - 1] < most);
}

const label = (value) => Number(value.toPrecision(6)).toString();

function frame(height, bottom, ticks, unit, title, below) {
  const y = (value) => TOP + (height - TOP - bottom) * (1 - value / ticks.at(-1));
  const node = s("svg", { class: "plot", viewBox: `0 0 ${W} ${height}`, role: "img", "aria-label": title },
    s("title", {}, title),
    ticks.map((tick) => [
      s("line", { class: tick === 0 ? "axis" : "grid", x1: LEFT, x2: W - RIGHT, y1: y(tick), y2: y(tick) }),
      s("text", { x: LEFT - 8, y: y(tick) + 4, "text-anchor": "end" }, label(tick)),
    ]),
    s("text", { x: 0, y: 12 }, unit),
    s("text", { x: W - RIGHT, y: height - 4, "text-anchor": "end" }, below));
  return [node, y];
}

/** Dots, one series for each of `series`: { name, values: [{ at, value, say }] }, in order from left to right. */
export function dots(series, { unit, title, below }) {
  fit(HALF);
  const height = 240;
  const most = Math.max(...series.flatMap((one) => one.values.map((point) => point.value)));
  const [node, y] = frame(height, 26, steps(most), unit, title, below);
  const count = Math.max(...series.map((one) => one.values.length));
  const x = (index) => (count === 1 ? (LEFT + W - RIGHT) / 2 : LEFT + 14 + (index / (count - 1)) * (W - RIGHT - LEFT - 28));
  series.forEach((one, which) => {
    const tone = which === 0 ? "one" : "other";
    node.append(s("polyline", { class: `join ${tone}`, "stroke-opacity": 0.35, points: one.values.map((point, index) => `${x(index)},${y(point.value)}`).join(" ") }));
    one.values.forEach((point, index) => node.append(
      s("circle", { class: tone, cx: x(index), cy: y(point.value), r: 3.5, "stroke-width": 0 }, s("title", {}, point.say))));
  });
  return node;
}

/** Standing bars: [{ name, parts: [value, value], say }]. */
export function bars(entries, { unit, title, below }) {
  fit(HALF);
  const height = 240;
  const total = (entry) => entry.parts.reduce((sum, part) => sum + part, 0);
  const [node, y] = frame(height, 46, steps(Math.max(...entries.map(total))), unit, title, below);
  const room = (W - RIGHT - LEFT) / entries.length;
  const wide = Math.min(44, room * 0.6);
  const every = Math.ceil(entries.length / (W / 64));
  entries.forEach((entry, index) => {
    const middle = LEFT + room * (index + 0.5);
    let base = 0;
    entry.parts.forEach((part, which) => {
      node.append(s("rect", { class: which === 0 ? "one" : "other", x: middle - wide / 2, width: wide, y: y(base + part), height: Math.max(0, y(base) - y(base + part)), "stroke-width": 0, rx: 2 }, s("title", {}, entry.say)));
      base += part;
    });
    if (index % every === 0) node.append(s("text", { x: middle, y: height - 28, "text-anchor": "middle" }, entry.name));
  });
  return node;
}

/** Lying bars, for names that need room: [{ name, value, text }]. */
export function lying(entries, { title }) {
  fit();
  const line = 30;
  const left = Math.min(170, W * 0.42);
  const most = Math.max(...entries.map((entry) => entry.value), Number.MIN_VALUE);
  return s("svg", { class: "plot", viewBox: `0 0 ${W} ${entries.length * line + 4}`, role: "img", "aria-label": title },
    s("title", {}, title),
    entries.map((entry, index) => {
      const top = index * line + 4;
      const wide = Math.max(2, (entry.value / most) * (W - left - 100));
      return [
        s("text", { x: left - 10, y: top + 15, "text-anchor": "end" }, entry.name),
        s("rect", { class: "one", x: left, y: top + 3, width: wide, height: 15, rx: 2, "stroke-width": 0 }),
        s("text", { x: left + wide + 8, y: top + 15 }, entry.text),
      ];
    }));
}
