// The page: which view is shown, the theme, and the foot.

import { h, put, trouble } from "./dom.js";
import { coins, short } from "./format.js";
import { get } from "./gateway.js";
import { ask } from "./ask.js";
import { receipts } from "./receipts.js";
import { market } from "./market.js";
import { ledger } from "./ledger.js";
import { money } from "./money.js";

const VIEWS = { ask, receipts, market, ledger, money };
const THEMES = ["auto", "light", "dark"];

const main = document.getElementById("main");
const foot = document.getElementById("foot");
let leaving;

async function show() {
  leaving?.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [name, ...parameters] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const view = VIEWS[name] ? name : "ask";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#/${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${view[0].toUpperCase()}${view.slice(1)} · Tacit`;
  const root = h("div", { "data-view": view });
  put(main, root);
  const wait = setTimeout(() => { if (root.childElementCount === 0) put(root, h("p", { class: "soft" }, "Reading …")); }, 300);
  try {
    await VIEWS[view](root, parameters, signal);
    if (!signal.aborted) root.dataset.ready = "true";
  } catch (error) {
    if (!signal.aborted) put(root, h("h1", {}, document.title.split(" · ")[0]), trouble(error), h("button", { type: "button", onclick: show }, "Try again"));
  } finally {
    clearTimeout(wait);
  }
  if (!signal.aborted) status();
}

async function status() {
  try {
    const state = await get("/tacit/v1/status");
    put(foot, h("span", {}, "Wallet ", short(state.address), " holds ", coins(state.balance)), h("span", {}, `chain ${state.chain_id}`), h("span", {}, "Everything here comes from the gateway at ", h("code", {}, location.host), "; this page asks nobody else."));
  } catch {
    put(foot, h("span", { class: "bad" }, "The gateway or its ledger does not answer."));
  }
}

function theme() {
  const button = document.getElementById("theme");
  let chosen = "auto";
  try {
    chosen = localStorage.getItem("theme") ?? "auto";
  } catch {
    // Without a memory the system's choice holds.
  }
  const apply = () => {
    if (chosen === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    put(button, h("span", { class: "hidden" }, "Theme: "), { auto: "◐ Auto", light: "○ Light", dark: "● Dark" }[chosen]);
  };
  button.addEventListener("click", () => {
    chosen = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length];
    try {
      localStorage.setItem("theme", chosen);
    } catch {
      // It holds until the page is left.
    }
    apply();
  });
  apply();
}

theme();
window.addEventListener("hashchange", () => {
  show();
  main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
});
show();
