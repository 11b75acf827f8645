// A pad to draw on, and what a model makes of it: a square of numbers.
//
// A drawing is fitted into the square as digits of the usual sets are, in the middle. Each number is the
// share of its cell that is covered, in the model's range.

import { h, put } from "./dom.js";

const SIDE = 480;
const FINE = 8;

function ink(node) {
  return getComputedStyle(node).color;
}

/** Draws cells, 0 to 1, dark where they are large. */
export function cells(canvas, side, values) {
  canvas.width = side;
  canvas.height = side;
  const brush = canvas.getContext("2d");
  brush.fillStyle = ink(canvas);
  values.forEach((value, index) => {
    brush.globalAlpha = Math.max(0, Math.min(1, value));
    brush.fillRect(index % side, Math.floor(index / side), 1, 1);
  });
  return canvas;
}

/** A small picture of a row of numbers. */
export function picture(side, range, data, name, tone = "thumb") {
  const node = h("canvas", { class: tone, role: "img", "aria-label": name });
  const scaled = data.map((value) => (value - range[0]) / (range[1] - range[0] || 1));
  // Its colour is known once it is on the page.
  requestAnimationFrame(() => cells(node, side, scaled));
  return node;
}

/** Covers cells by strokes: lists of points, 0 to 1. */
function rasterise(strokes, side) {
  const points = strokes.flat();
  if (points.length === 0) return undefined;
  const xs = points.map((point) => point[0]);
  const ys = points.map((point) => point[1]);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  // Large pictures keep a border and their proportions; small ones are filled, and what is upright is made wider, save a stroke.
  const thick = side >= 16 ? side / 11 : side / 6;
  const room = ((side >= 16 ? side * (20 / 28) : side) - thick) * FINE;
  const [wide, high] = [Math.max(right - left, 0.01), Math.max(bottom - top, 0.01)];
  const upright = wide / high;
  const scaleY = room / Math.max(wide, high);
  const scaleX = side < 16 && upright > 0.35 && upright < 0.85 ? (room * 0.85) / wide : scaleY;
  const canvas = new OffscreenCanvas(side * FINE, side * FINE);
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  brush.lineCap = "round";
  brush.lineJoin = "round";
  brush.lineWidth = thick * FINE;
  const place = ([x, y]) => [
    (x - (left + right) / 2) * scaleX + (side * FINE) / 2,
    (y - (top + bottom) / 2) * scaleY + (side * FINE) / 2,
  ];
  for (const stroke of strokes) {
    brush.beginPath();
    brush.moveTo(...place(stroke[0]));
    for (const point of stroke.length > 1 ? stroke.slice(1) : stroke) brush.lineTo(...place(point));
    brush.stroke();
  }
  const pixels = brush.getImageData(0, 0, side * FINE, side * FINE).data;
  const covered = new Array(side * side).fill(0);
  for (let y = 0; y < side * FINE; y += 1) {
    for (let x = 0; x < side * FINE; x += 1) {
      covered[Math.floor(y / FINE) * side + Math.floor(x / FINE)] += pixels[(y * side * FINE + x) * 4 + 3] / 255;
    }
  }
  return covered.map((sum) => sum / (FINE * FINE));
}

/** A pad for a model that takes a square of `side` numbers in `range`. `data()` is the row, or nothing while the pad is empty. */
export function pad(side, range, samples, shape) {
  const draw = h("canvas", { class: "draw", width: SIDE, height: SIDE, role: "img", "aria-label": "Pad: draw with mouse or finger, or choose a sample below" });
  const sees = h("canvas", { class: "sees", role: "img", "aria-label": "What the model gets" });
  const brush = draw.getContext("2d");
  const [low, high] = [range[0], Math.floor(range[1]) || range[1]];
  let strokes = [];
  let chosen;
  const chips = h("div", { class: "chips", role: "group", "aria-label": "Samples" });

  function values() {
    if (chosen) return chosen.map((value) => (value - low) / (high - low || 1));
    return rasterise(strokes, side);
  }

  function show() {
    brush.clearRect(0, 0, SIDE, SIDE);
    const covered = values();
    cells(sees, side, covered ?? []);
    if (chosen) {
      brush.imageSmoothingEnabled = false;
      brush.drawImage(sees, 0, 0, SIDE, SIDE);
    }
    brush.strokeStyle = ink(draw);
    brush.lineWidth = SIDE / 14;
    brush.lineCap = "round";
    brush.lineJoin = "round";
    for (const stroke of strokes) {
      brush.beginPath();
      brush.moveTo(stroke[0][0] * SIDE, stroke[0][1] * SIDE);
      for (const [x, y] of stroke.length > 1 ? stroke.slice(1) : stroke) brush.lineTo(x * SIDE, y * SIDE);
      brush.stroke();
    }
  }

  function press(which) {
    for (const button of chips.querySelectorAll("button.thumb")) button.setAttribute("aria-pressed", String(button === which));
  }

  const where = (event) => {
    const box = draw.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  let drawing = false;
  draw.addEventListener("pointerdown", (event) => {
    draw.setPointerCapture(event.pointerId);
    if (chosen) strokes = [];
    chosen = undefined;
    press(undefined);
    drawing = true;
    strokes.push([where(event)]);
    show();
    event.preventDefault();
  });
  draw.addEventListener("pointermove", (event) => {
    if (!drawing) return;
    strokes.at(-1).push(where(event));
    show();
  });
  for (const end of ["pointerup", "pointercancel"]) draw.addEventListener(end, () => { drawing = false; });

  const clear = h("button", { type: "button", onclick: () => { strokes = []; chosen = undefined; press(undefined); show(); } }, "Clear");
  put(chips, Object.entries(samples).map(([name, input]) => {
    const button = h("button", { type: "button", class: "thumb", "aria-pressed": "false", "aria-label": `Sample: ${name}`, title: name }, picture(side, [low, high], input.data, name));
    button.addEventListener("click", () => {
      strokes = [];
      chosen = input.data;
      press(button);
      show();
    });
    return button;
  }), clear);

  const node = h("div", {},
    h("div", { class: "pad" },
      h("figure", {}, draw, h("figcaption", {}, "Draw here with mouse or finger")),
      h("figure", {}, sees, h("figcaption", {}, `${side} × ${side} numbers`))),
    chips);
  requestAnimationFrame(show);
  return {
    node,
    show,
    input() {
      const covered = values();
      if (!covered) throw new Error("The pad is empty: draw something, or choose one of the samples.");
      const data = chosen ?? covered.map((value) => low + Math.round(value * (high - low) * 1e4) / 1e4);
      return { shape, data };
    },
  };
}
