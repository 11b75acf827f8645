// cast, Foundry's command line: each check runs the real binary as a person would.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { Token, mail, mnemonic, report, url } from "./common.mjs";

const packaged = `@foundry-rs/cast-${process.platform}-${{ x64: "amd64", arm64: "arm64" }[process.arch]}/package.json`;
const binary = join(dirname(createRequire(import.meta.url).resolve(packaged)), "bin", "cast");
const run = promisify(execFile);
const home = mkdtempSync(join(tmpdir(), "tacit-cast-"));
const cast = async (...args) => (await run(binary, args, { env: { ETH_RPC_URL: url, HOME: home, PATH: process.env.PATH } })).stdout.trim();
const key = (index) => ["--mnemonic", mnemonic, "--mnemonic-index", String(index)];
const alice = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const bob = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const send = async (index, ...args) => JSON.parse(await cast("send", "--json", ...key(index), ...args));
let token, mint;

await report("cast", {
  "chain, client and balance": async () => {
    assert.match(await cast("chain-id"), /^\d+$/);
    assert.match(await cast("client"), /tacit/i);
    assert.equal(await cast("balance", "--ether", alice), "10000.000000000000000000");
    assert.equal(await cast("block-number"), "0");
  },

  "transfers of types 0, 1 and 2": async () => {
    for (const [type, flags] of [["0x0", ["--legacy"]], ["0x1", ["--gas-price", "2000000000", "--access-list", JSON.stringify([{ address: bob, storageKeys: [] }]), "--legacy"]], ["0x2", []]]) {
      const before = BigInt(await cast("balance", bob));
      const receipt = await send(0, bob, "--value", "5", ...flags);
      assert.equal(receipt.status, "0x1");
      assert.ok(receipt.type === type, `${receipt.type} for ${type}`);
      assert.equal(BigInt(await cast("balance", bob)), before + 5n);
      const stored = JSON.parse(await cast("tx", "--json", receipt.transactionHash));
      assert.equal(stored.hash, receipt.transactionHash);
    }
  },

  "published bytecode deploys": async () => {
    const receipt = await send(0, "--create", Token.bytecode, "constructor(string,string)", "Work", "WRK");
    token = receipt.contractAddress;
    assert.equal(await cast("code", token), Token.deployedBytecode);
    assert.equal(await cast("call", token, "symbol()(string)"), '"WRK"');
  },

  "send, receipt, logs": async () => {
    mint = await send(0, token, "mint(address,uint256)", bob, "1000");
    assert.equal(mint.logs.length, 1);
    assert.equal(await cast("call", token, "balanceOf(address)(uint256)", bob), "1000");
    const logs = JSON.parse(await cast("logs", "--json", "--from-block", "0", "--to-block", "latest", "--address", token, "Transfer(address indexed,address indexed,uint256)", "0x0000000000000000000000000000000000000000", bob));
    assert.equal(logs.length, 1);
    assert.equal(logs[0].transactionHash, mint.transactionHash);
    assert.deepEqual(JSON.parse(await cast("receipt", "--json", mint.transactionHash)).logs, mint.logs);
  },

  "estimate is enough and not much more": async () => {
    const gas = BigInt(await cast("estimate", token, "mint(address,uint256)", bob, "1", "--from", alice));
    const used = BigInt((await send(0, token, "mint(address,uint256)", bob, "1", "--gas-limit", String(gas))).gasUsed);
    assert.ok(gas >= used && gas <= (used * 11n) / 10n, `estimate ${gas}, used ${used}`);
  },

  "a revert tells why": async () => {
    await assert.rejects(cast("call", token, "transfer(address,uint256)", bob, "1", "--from", alice), /transfer amount exceeds balance/);
    await assert.rejects(cast("estimate", token, "mint(address,uint256)", bob, "1", "--from", bob), /must have minter role/);
  },

  "state override": async () => {
    assert.equal(await cast("call", token, "decimals()(uint8)"), "18");
    assert.equal(await cast("call", token, "decimals()(uint8)", "--override-code", `${token}:0x602a60005260206000f3`), "42");
  },

  "history": async () => {
    const before = BigInt(mint.blockNumber) - 1n;
    assert.equal(await cast("call", token, "balanceOf(address)(uint256)", bob, "--block", String(before)), "0");
    assert.equal(await cast("nonce", alice, "--block", "0"), "0");
  },

  "an account delegates its code (type 4)": async () => {
    const receipt = await send(1, bob, "decimals()", "--auth", token);
    assert.equal(receipt.type, "0x4");
    assert.equal(await cast("code", bob), `0xef0100${token.slice(2).toLowerCase()}`);
  },

  "an access list is found, and costs what it says": async () => {
    const answer = JSON.parse(await cast("rpc", "eth_createAccessList", JSON.stringify({ from: alice, to: token, data: await cast("calldata", "mint(address,uint256)", bob, "1") }), "latest"));
    const shown = await cast("access-list", token, "mint(address,uint256)", bob, "1", "--from", alice);
    for (const key of answer.accessList[0].storageKeys) assert.ok(shown.includes(key), shown);
    for (const [type, flags] of [["0x1", ["--gas-price", "2000000000", "--legacy"]], ["0x2", []]]) {
      const receipt = await send(0, token, "mint(address,uint256)", bob, "1", "--access-list", JSON.stringify(answer.accessList), ...flags);
      assert.deepEqual([receipt.status, receipt.type, receipt.gasUsed], ["0x1", type, answer.gasUsed]);
    }
  },

  "typed data": async () => {
    const file = join(home, "mail.json");
    const chainId = Number(await cast("chain-id"));
    const domain = [["name", "string"], ["version", "string"], ["chainId", "uint256"], ["verifyingContract", "address"]].map(([name, type]) => ({ name, type }));
    const message = { ...mail.message, amount: String(mail.message.amount) };
    writeFileSync(file, JSON.stringify({ domain: mail.domain(chainId), types: { EIP712Domain: domain, ...mail.types }, primaryType: "Mail", message }));
    const signature = await cast("wallet", "sign", ...key(0), "--data", "--from-file", file);
    assert.match(await cast("wallet", "verify", "--address", alice, "--data", "--from-file", file, signature), /succeeded/);
  },

  "blocks and storage": async () => {
    const block = JSON.parse(await cast("block", "--json", "latest"));
    assert.equal(await cast("block", "latest", "--field", "hash"), block.hash);
    assert.equal(BigInt(await cast("storage", token, "4")), 1003n);
    assert.match(await cast("gas-price"), /^\d+$/);
    assert.match(await cast("base-fee"), /^\d+$/);
  },

  "raw requests": async () => {
    assert.equal(await cast("rpc", "net_listening"), "true");
    await assert.rejects(cast("rpc", "eth_getProof", alice, "[]", "latest"), /Merkle-Patricia/);
    await assert.rejects(cast("rpc", "eth_noSuchMethod"), /does not exist/);
  },
}).finally(() => rmSync(home, { recursive: true, force: true }));
