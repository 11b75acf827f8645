// Talks to a language model on the page of a network that runs (`tacit up --engine …`), and has the receipt of the answer checked and counted again.
// `node chat.mjs MODEL [PICTURES] [PAGE]`
import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [model, pictures = "pictures", address = "http://127.0.0.1:8547/"] = process.argv.slice(2);
assert.ok(model, "name a language model that the network serves");
mkdirSync(pictures, { recursive: true });
const executablePath = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) => path && existsSync(path));
const CHECKS = ["model", "signature", "input", "output", "evidence", "path", "anchor"];

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const page = await (await browser.newContext({ viewport: { width: 1200, height: 1000 } })).newPage();
const wrong = [];
page.on("console", (message) => { if (["error", "warning"].includes(message.type())) wrong.push(message.text()); });
page.on("pageerror", (error) => wrong.push(error.message));
await page.goto(`${address}#/ask`);
await page.waitForSelector("[data-ready]");
await page.selectOption("#model", model);
await page.fill("#say", "Name three fruits.");
await page.click("button:has-text('Send')");
await page.waitForSelector("text=See it", { timeout: 120_000 });
await page.screenshot({ path: join(pictures, "chat.png"), fullPage: true });
await page.click("text=See it");
await page.click("#verify");
await page.waitForSelector("#verdict", { timeout: 60_000 });
assert.equal(await page.getAttribute("#verdict", "data-verified"), "true");
assert.deepEqual(await page.$$eval(".checks li", (checks) => checks.map((check) => check.dataset.check)), CHECKS);
await page.screenshot({ path: join(pictures, "stream.png"), fullPage: true });
await browser.close();
assert.deepEqual(wrong, []);
console.log(JSON.stringify({ chat: "ok", model, pictures }));
