// The same signed transactions and the same requests to this node and to anvil: what both must say is compared field by field.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { concat, encodeDeployData, encodeFunctionData, getContractAddress, keccak256, pad, toHex } from "viem";
import { mnemonicToAccount } from "viem/accounts";
import { FixedToken, Token, mnemonic, report, rpc, url } from "./common.mjs";

const packaged = `@foundry-rs/anvil-${process.platform}-${{ x64: "amd64", arm64: "arm64" }[process.arch]}/package.json`;
const binary = join(dirname(createRequire(import.meta.url).resolve(packaged)), "bin", "anvil");
const chainId = Number((await rpc("eth_chainId")).result);
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
const both = (method, params) => Promise.all([ask(url, method, params), ask(other, method, params)]);

const accounts = [0, 1, 2].map((addressIndex) => mnemonicToAccount(mnemonic, { addressIndex }));
const [alice, bob, carol] = accounts;
const nonces = new Map(accounts.map(({ address }) => [address, 0]));
const mined = [];

/** Sends to both; compares the receipts in everything that does not depend on the chain's past. */
async function send(account, fields) {
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
async function same(method, params) {
  const [ours, theirs] = await both(method, params);
  assert.deepEqual(ours.result, theirs.result, method);
  return ours.result;
}
async function sameFailure(method, params) {
  const [ours, theirs] = await both(method, params);
  assert.ok(ours.error && theirs.error, `${method}: ${JSON.stringify(ours)} and ${JSON.stringify(theirs)}`);
  assert.deepEqual([ours.error.code, ours.error.data ?? null], [theirs.error.code, theirs.error.data ?? null], method);
  return ours.error;
}
const token = getContractAddress({ from: alice.address, nonce: 0n });
const call = (functionName, args) => encodeFunctionData({ abi: Token.abi, functionName, args });

await report("differential", {
  "deployments": async () => {
    await send(alice, { data: encodeDeployData({ abi: Token.abi, bytecode: Token.bytecode, args: ["Work", "WRK"] }) });
    await send(bob, { data: encodeDeployData({ abi: FixedToken.abi, bytecode: FixedToken.bytecode, args: ["Fixed", "FIX", 10n ** 24n, bob.address] }) });
    await same("eth_getCode", [token, "latest"]);
  },
  "calls with logs, storage and refunds": async () => {
    for (let index = 0n; index < 8n; index += 1n) await send(alice, { to: token, data: call("mint", [toHex(index + 1n, { size: 20 }), index]) });
    await send(alice, { to: token, data: call("mint", [bob.address, 500n]) });
    await send(bob, { to: token, data: call("transfer", [carol.address, 500n]) });
    await send(carol, { to: token, data: call("approve", [alice.address, 2n ** 256n - 1n]) });
    await send(alice, { to: token, data: call("transferFrom", [carol.address, bob.address, 499n]) });
    await send(alice, { to: token, data: call("pause", []) });
    await send(alice, { to: token, data: call("unpause", []) });
    const slot = keccak256(concat([pad(bob.address), toHex(2, { size: 32 })]));
    await same("eth_getStorageAt", [token, slot, "latest"]);
    await same("eth_call", [{ to: token, data: call("totalSupply", []) }, "latest"]);
  },
  "reverts in calls and in blocks": async () => {
    const data = call("transfer", [alice.address, 10n ** 30n]);
    await send(bob, { to: token, data });
    await send(bob, { to: token, data: call("mint", [bob.address, 1n]) });
    await sameFailure("eth_call", [{ from: bob.address, to: token, data }, "latest"]);
    await sameFailure("eth_estimateGas", [{ from: bob.address, to: token, data }]);
  },
  "out of gas, bad opcodes, precompiles, creation that fails": async () => {
    await send(alice, { to: token, data: call("mint", [bob.address, 1n]), gas: 40_000n });
    await send(alice, { data: "0xfe", gas: 100_000n });
    await send(alice, { data: "0x60ef60005360016000f3", gas: 100_000n });
    await send(alice, { data: "0x5f5ffd", gas: 100_000n });
    for (let index = 1; index <= 10; index += 1) await send(alice, { to: toHex(index, { size: 20 }), data: "0x01020304", gas: 500_000n });
    await send(alice, { to: toHex(0x100, { size: 20 }), data: `0x${"00".repeat(160)}`, gas: 500_000n });
    await send(alice, { to: alice.address, data: `0x${"00ff".repeat(5000)}` });
  },
  "every type of transaction": async () => {
    const gasPrice = { maxFeePerGas: undefined, maxPriorityFeePerGas: undefined, gasPrice: 3_000_000_000n };
    await send(alice, { ...gasPrice, type: "legacy", to: bob.address, value: 1n });
    await send(alice, { ...gasPrice, type: "eip2930", to: token, data: call("mint", [bob.address, 1n]), accessList: [{ address: token, storageKeys: [toHex(2, { size: 32 })] }] });
    const authorization = await carol.signAuthorization({ chainId, contractAddress: token, nonce: nonces.get(carol.address) });
    await send(alice, { type: "eip7702", to: carol.address, data: call("decimals", []), authorizationList: [authorization] });
    nonces.set(carol.address, nonces.get(carol.address) + 1);
    await same("eth_getCode", [carol.address, "latest"]);
    await send(carol, { to: bob.address, value: 1n });
    await same("eth_getTransactionCount", [carol.address, "latest"]);
  },
  "refusals have one code": async () => {
    const signed = (fields) => alice.signTransaction({ chainId, nonce: nonces.get(alice.address), gas: 21_000n, maxFeePerGas: 3_000_000_000n, maxPriorityFeePerGas: 1n, to: bob.address, ...fields });
    for (const fields of [{ nonce: 0 }, { value: 10n ** 30n }, { gas: 20_000n }, { chainId: 1 }, { maxFeePerGas: 1n }]) {
      const [ours, theirs] = await both("eth_sendRawTransaction", [await signed(fields)]);
      assert.ok(ours.error && theirs.error, `${JSON.stringify(ours)} and ${JSON.stringify(theirs)}`);
    }
    await same("eth_getTransactionReceipt", [toHex(1, { size: 32 })]);
    await same("eth_getBlockByHash", [toHex(1, { size: 32 }), false]);
  },
  "transactions, blocks and receipts have the fields that anvil's have": async () => {
    const without = (object, names) => Object.keys(object).filter((name) => !names.includes(name)).sort();
    for (const hash of mined) {
      const [ours, theirs] = (await both("eth_getTransactionByHash", [hash])).map(({ result }) => result);
      assert.deepEqual(without(ours, ["blockTimestamp"]), without(theirs, ["blockTimestamp"]), hash);
      for (const name of ["hash", "nonce", "input", "value", "gas", "type", "chainId", "from", "to", "r", "s", "yParity", "maxFeePerGas", "accessList", "authorizationList"]) {
        assert.deepEqual(ours[name], theirs[name], `${hash} ${name}`);
      }
    }
    const [receipt, theirReceipt] = (await both("eth_getTransactionReceipt", [mined[1]])).map(({ result }) => result);
    assert.deepEqual(without(receipt, ["blockTimestamp"]), without(theirReceipt, ["blobGasPrice", "blobGasUsed", "blockTimestamp"]));
    const [block, theirBlock] = (await both("eth_getBlockByNumber", ["latest", false])).map(({ result }) => result);
    assert.deepEqual(without(theirBlock, ["totalDifficulty"]).filter((name) => !(name in block)), []);
    assert.equal(block.transactionsRoot, theirBlock.transactionsRoot);
  },
});
