// This node beside anvil (npm): the same signed transactions and the same requests to both.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { toHex } from "viem";
import { mnemonicToAccount } from "viem/accounts";
import { mnemonic, rpc, url } from "./common.mjs";

const packaged = `@foundry-rs/anvil-${process.platform}-${{ x64: "amd64", arm64: "arm64" }[process.arch]}/package.json`;
const binary = join(dirname(createRequire(import.meta.url).resolve(packaged)), "bin", "anvil");
export const chainId = Number((await rpc("eth_chainId")).result);
const port = await new Promise((done) => { const probe = createServer().listen(0, "127.0.0.1", () => { const { port } = probe.address(); probe.close(() => done(port)); }); });
const anvil = spawn(binary, ["--port", String(port), "--chain-id", String(chainId), "--hardfork", "osaka", "--base-fee", "1000000", "--silent"], { stdio: "ignore" });
process.on("exit", () => anvil.kill());

async function ask(target, method, params) {
  const response = await fetch(target, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }) });
  return response.json();
}
const other = `http://127.0.0.1:${port}`;
for (let tries = 0; ; tries += 1) {
  try { await ask(other, "eth_chainId", []); break; } catch (why) { if (tries > 200) throw why; await new Promise((done) => setTimeout(done, 50)); }
}
/** Both answers, this node's first. */
export const both = (method, params) => Promise.all([ask(url, method, params), ask(other, method, params)]);

export const accounts = [0, 1, 2].map((addressIndex) => mnemonicToAccount(mnemonic, { addressIndex }));
export const nonces = new Map(accounts.map(({ address }) => [address, 0]));
/** Hashes of everything mined on both, in order. */
export const mined = [];

/** Sends to both; compares the receipts in everything that does not depend on the chain's past. */
export async function send(account, fields) {
  const nonce = nonces.get(account.address);
  nonces.set(account.address, nonce + 1);
  const raw = await account.signTransaction({ chainId, nonce, gas: 5_000_000n, maxFeePerGas: 3_000_000_000n, maxPriorityFeePerGas: 1n, ...fields });
  const [ours, theirs] = await both("eth_sendRawTransaction", [raw]);
  assert.ok(ours.result, JSON.stringify(ours.error));
  assert.equal(ours.result, theirs.result);
  // This node answers when the receipt is there; anvil sometimes before.
  let receipts;
  for (let tries = 0; tries < 100; tries += 1) {
    receipts = (await both("eth_getTransactionReceipt", [ours.result])).map(({ result }) => result);
    assert.ok(receipts[0], "no receipt");
    if (receipts[1]) break;
    await new Promise((done) => setTimeout(done, 20));
  }
  const told = receipts.map((receipt) => ({
    status: receipt.status, gasUsed: receipt.gasUsed, type: receipt.type, from: receipt.from, to: receipt.to,
    contractAddress: receipt.contractAddress ?? null, logsBloom: receipt.logsBloom,
    logs: receipt.logs.map(({ address, topics, data, logIndex }) => ({ address, topics, data, logIndex })),
  }));
  assert.deepEqual(told[0], told[1]);
  mined.push(ours.result);
  return receipts[0];
}
/** A result that both give. */
export async function same(method, params) {
  const [ours, theirs] = await both(method, params);
  assert.deepEqual(ours.result, theirs.result, method);
  return ours.result;
}
/** An error that both give, in code and data. */
export async function sameFailure(method, params) {
  const [ours, theirs] = await both(method, params);
  assert.ok(ours.error && theirs.error, `${method}: ${JSON.stringify(ours)} and ${JSON.stringify(theirs)}`);
  assert.deepEqual([ours.error.code, ours.error.data ?? null], [theirs.error.code, theirs.error.data ?? null], method);
  return ours.error;
}
/** The next block of both is made at `timestamp`. */
export async function at(timestamp) {
  for (const answer of await both("evm_setNextBlockTimestamp", [toHex(timestamp)])) assert.ok(!answer.error, JSON.stringify(answer.error));
}
