// Starts `tacit up` in a fresh folder, opens its page in Chromium, and uses it as a person would: draws, asks, watches the life of the question
// until it is paid and anchored, verifies the receipt, downloads it and checks it offline, looks at every view in light and dark and at a width
// of 360. Nothing may be asked of another origin, and the console must stay empty of errors. Pictures are written beside.
import assert from "node:assert/strict";
import { spawn, execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const pictures = process.argv[2] ?? "pictures";
mkdirSync(pictures, { recursive: true });
const tacit = process.env.TACIT_BIN;
const browsers = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executablePath = browsers.find((path) => path && existsSync(path));
assert.ok(executablePath, "no Chromium: install it (Debian: apt-get install chromium), or set CHROMIUM");

const STAGES = ["found", "channel", "sealed", "sent", "run", "proved", "received", "verified", "paid", "anchored"];
const CHECKS = ["model", "signature", "input", "output", "evidence", "path", "anchor"];
const VIEWS = ["ask", "receipts", "market", "ledger", "money"];

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** A network of its own; resolves with the page's address. */
async function start(data) {
  const listen = await Promise.all([freePort(), freePort(), freePort()]);
  const [ledger, worker, gateway] = listen.map((port) => `127.0.0.1:${port}`);
  const child = spawn(tacit, ["up", "--json", "--data", data, "--ledger-listen", ledger, "--worker-listen", worker, "--gateway-listen", gateway, "--relay-listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  for await (const bytes of child.stdout) {
    said += bytes;
    if (said.includes("\n")) return { child, ready: JSON.parse(said) };
  }
  throw new Error("tacit up ended before it was ready");
}

/** A page that remembers what it should not have done. */
async function open(browser, origin, options) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, acceptDownloads: true, ...options });
  const page = await context.newPage();
  const wrong = [];
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (!["data:", "blob:"].includes(url.protocol) && url.origin !== origin) wrong.push(`asked ${request.url()}`);
  });
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) wrong.push(`console: ${message.text()}`); });
  page.on("pageerror", (error) => wrong.push(`threw: ${error.message}`));
  return { context, page, wrong };
}

async function picture(page, name) {
  await page.evaluate(() => window.scrollTo(0, 0));
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
}

async function visit(page, origin, view) {
  await page.goto(`${origin}/#/${view}`);
  const name = view.split("/")[0];
  await page.waitForSelector(`[data-view="${name}"][data-ready]`);
}

/** Draws a seven on the pad, as a hand does. */
async function drawSeven(page) {
  const pad = page.locator("canvas.draw");
  await pad.scrollIntoViewIfNeeded();
  const box = await pad.boundingBox();
  const at = (x, y) => [box.x + box.width * x, box.y + box.height * y];
  await page.mouse.move(...at(0.28, 0.22));
  await page.mouse.down();
  for (const [x, y] of [[0.72, 0.22], [0.62, 0.45], [0.52, 0.65], [0.44, 0.84]]) await page.mouse.move(...at(x, y), { steps: 5 });
  await page.mouse.up();
}

async function asked(page, state) {
  await page.click("#ask");
  await page.waitForSelector(`#stages[data-state="${state}"]`, { timeout: 60_000 });
  return page.$$eval("#stages li.done", (items) => items.map((item) => item.dataset.stage));
}

async function ask(page, origin) {
  await visit(page, origin, "ask/digits");
  assert.equal(await page.locator("h1").innerText(), "Ask a model");
  // An empty pad asks nothing, and says what to do.
  await page.click("#ask");
  assert.match(await page.locator("form [role=alert]").innerText(), /The pad is empty/);
  await drawSeven(page);
  assert.deepEqual(await asked(page, "done"), STAGES, "stages of a proved answer");
  assert.equal(await page.locator("#answer .word").innerText(), "7");
  assert.match(await page.locator("#answer").innerText(), /proof verified/);
  assert.match(await page.locator("#answer").innerText(), /paid 0\.0002 coin/);
  const times = await page.$$eval("#stages li", (items) => items.map((item) => item.children[1].textContent));
  assert.ok(times.filter((time) => /^\+[\d.]+\s(ms|s)$/.test(time)).length >= 8, `measured times: ${times}`);
  await picture(page, "ask-answered");

  // A sample, signed only: no proof is waited for.
  await page.click('button[aria-label="Sample: three"]');
  await page.check('input[name="evidence"][value="signed"]');
  assert.deepEqual(await asked(page, "done"), STAGES.filter((stage) => stage !== "proved"), "stages of a signed answer");
  assert.equal(await page.locator("#answer .word").innerText(), "3");

  // A table by its names, under encryption.
  await visit(page, origin, "ask/german-credit");
  await page.click("#ask");
  assert.match(await page.locator("form [role=alert]").innerText(), /is empty/);
  await page.getByRole("button", { name: "good", exact: true }).click();
  await page.check('input[name="privacy"][value="encrypted"]');
  assert.equal(await page.isChecked('input[name="evidence"][value="audited"]'), true, "proved is not offered under encryption");
  await page.check('input[name="evidence"][value="signed"]');
  await asked(page, "done");
  assert.equal(await page.locator("#answer .word").innerText(), "good");
  await picture(page, "ask-table");

  // What the gateway refuses is said, with what to do, and the stages stop where they stopped.
  await page.locator("summary", { hasText: "JSON" }).click();
  await page.fill("textarea", '{"row":{"age":1}}');
  assert.deepEqual(await asked(page, "failed"), []);
  assert.match(await page.locator("#life [role=alert]").innerText(), /lacks[\s\S]*What to do/);
}

async function receipt(page, origin, data) {
  await visit(page, origin, "receipts");
  const rows = page.locator("table.rows tbody tr");
  assert.equal(await rows.count(), 3);
  await picture(page, "receipts");
  await rows.last().locator("a").first().click();
  await page.waitForSelector("#verify");
  assert.equal(await page.locator("#answer .word").innerText(), "7");
  await page.click("#verify");
  await page.waitForSelector("#verdict");
  assert.equal(await page.locator("#verdict").getAttribute("data-verified"), "true");
  assert.match(await page.locator("#verdict").innerText(), /^Verified in [\d.]+\sm?s, proof at 100 bits$/);
  const checks = await page.$$eval("#checks li", (items) => items.map((item) => [item.dataset.check, item.className]));
  assert.deepEqual(checks, CHECKS.map((check) => [check, "passed"]));
  await picture(page, "receipt-verified");
  const waiting = page.waitForEvent("download");
  await page.click("text=Download the receipt");
  const download = await waiting;
  const file = join(data, download.suggestedFilename());
  await download.saveAs(file);
  const command = await page.locator("pre", { hasText: "tacit receipt verify" }).innerText();
  assert.equal(command, `tacit receipt verify ${download.suggestedFilename()}`);
  const said = JSON.parse(execFileSync(tacit, ["receipt", "verify", file, "--json"], { encoding: "utf8" }));
  assert.equal(said.verified, true, "the downloaded file verifies offline");
}

async function ledger(page, origin) {
  await visit(page, origin, "ledger");
  const first = Number(await page.locator(".blocks li a").first().innerText());
  assert.ok((await page.locator(".blocks").innerText()).includes("receipts.anchor"));
  await picture(page, "ledger");
  // A block that comes while one looks.
  await page.evaluate(async () => {
    const row = { shape: [64], data: new Array(64).fill(3) };
    const body = JSON.stringify({ model: "digits", input: row, evidence: "signed", anchor_wait_ms: 10_000 });
    await fetch("/tacit/v1/ask", { method: "POST", headers: { "content-type": "application/json" }, body });
  });
  await page.waitForFunction((number) => Number(document.querySelector(".blocks li a").textContent) > number, first);
  await page.locator(".blocks li", { hasText: "receipts.anchor" }).first().locator("a").click();
  await page.waitForSelector("text=Called receipts.anchor");
  const names = await page.locator(".arguments dt").allInnerTexts();
  assert.deepEqual(names.slice(0, 2), ["root", "count"]);
  await picture(page, "block");
}

async function keyboard(page, origin) {
  await visit(page, origin, "ask/digits");
  await page.reload();
  await page.waitForSelector("[data-ready]");
  await page.locator("body").press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
  await page.locator('button[aria-label="Sample: eight"]').focus();
  await page.keyboard.press("Enter");
  assert.equal(await page.locator('button[aria-label="Sample: eight"]').getAttribute("aria-pressed"), "true");
  await page.locator("#ask").focus();
  await page.keyboard.press("Enter");
  await page.waitForSelector('#stages[data-state="done"]', { timeout: 60_000 });
  assert.equal(await page.locator("#answer .word").innerText(), "8");
}

async function themes(page, origin) {
  await visit(page, origin, "money");
  const paper = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const system = await paper();
  await page.click("#theme");
  const light = await paper();
  await page.click("#theme");
  const dark = await paper();
  assert.equal(system, light, "the system asks for light");
  assert.notEqual(light, dark);
  await page.reload();
  assert.equal(await paper(), dark, "the choice is kept");
  await page.click("#theme");
  assert.equal(await paper(), system);
}

async function main() {
  const data = mkdtempSync(join(tmpdir(), "tacit-page-"));
  const { child, ready } = await start(data);
  let browser;
  try {
    const { origin } = new URL(ready.page);
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
    const wide = await open(browser, origin, { colorScheme: "light" });
    await visit(wide.page, origin, "receipts");
    assert.match(await wide.page.locator("main").innerText(), /No receipts yet/);
    await visit(wide.page, origin, "money");
    assert.match(await wide.page.locator("main").innerText(), /None yet/);
    await ask(wide.page, origin);
    await receipt(wide.page, origin, data);
    await ledger(wide.page, origin);
    await keyboard(wide.page, origin);
    await themes(wide.page, origin);
    for (const [name, options] of [
      ["light", { colorScheme: "light" }],
      ["dark", { colorScheme: "dark" }],
      ["phone", { colorScheme: "light", viewport: { width: 360, height: 780 }, hasTouch: true, isMobile: true }],
      ["phone-dark", { colorScheme: "dark", viewport: { width: 360, height: 780 }, hasTouch: true, isMobile: true }],
    ]) {
      const { context, page, wrong } = await open(browser, origin, options);
      for (const view of VIEWS) {
        await visit(page, origin, view);
        const beyond = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert.ok(beyond <= 0, `${name} ${view} is ${beyond} pixels too wide`);
        await picture(page, `${view}-${name}`);
      }
      await page.goto(`${origin}/#/receipts`);
      await page.locator("table.rows a").first().click();
      await page.waitForSelector("#verify");
      await picture(page, `receipt-${name}`);
      assert.deepEqual(wrong, [], name);
      await context.close();
    }
    assert.deepEqual(wide.wrong, []);
    const index = await fetch(`${origin}/`);
    assert.match(index.headers.get("content-security-policy"), /default-src 'self'/);
    console.log(JSON.stringify({ page: "ok", views: VIEWS.length, pictures }));
  } finally {
    await browser?.close();
    child.kill("SIGINT");
    await once(child, "exit");
    rmSync(data, { recursive: true, force: true });
  }
}

await main();
