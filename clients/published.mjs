// Contracts as their projects published them (npm), on this node and on anvil: the same signed transactions, at the same times, must do the
// same in status, gas, logs, return and revert data; numbers that are known from elsewhere must come out.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import {
  decodeErrorResult, decodeFunctionResult, encodeDeployData, encodeFunctionData, encodePacked, keccak256, pad, parseEther, parseEventLogs, toHex,
  zeroAddress, zeroHash,
} from "viem";
import { accounts, at, both, chainId, same, sameFailure, send } from "./beside-anvil.mjs";
import { report } from "./common.mjs";

const require = createRequire(new URL("published/", import.meta.url));
const [alice, bob, carol] = accounts;
let clock = Math.floor(Date.now() / 1000) + 1000;

/** Compiles with solc from npm; imports are looked up among the packages. */
function compile(sources, wanted) {
  const solc = require("solc");
  const folder = dirname(require.resolve("solc/package.json"));
  const input = {
    language: "Solidity", sources: Object.fromEntries(Object.entries(sources).map(([name, content]) => [name, { content }])),
    settings: { evmVersion: "paris", optimizer: { enabled: true, runs: 200 }, outputSelection: { "*": { "*": ["abi", "evm.bytecode"] } } },
  };
  const find = (path) => { try { return { contents: readFileSync(join(folder, "..", path), "utf8") }; } catch (why) { return { error: String(why) }; } };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: find }));
  const errors = (output.errors ?? []).filter(({ severity }) => severity === "error");
  assert.deepEqual(errors.map(({ formattedMessage }) => formattedMessage), []);
  const found = Object.values(output.contracts).flatMap(Object.entries).filter(([name]) => wanted.includes(name));
  return Object.fromEntries(found.map(([name, { abi, evm }]) => [name, { abi, object: evm.bytecode.object, links: evm.bytecode.linkReferences }]));
}
/** Puts the addresses of libraries into bytecode. */
function linked({ object, links }, libraries) {
  let code = object;
  for (const places of Object.values(links)) {
    for (const [name, positions] of Object.entries(places)) {
      for (const { start } of positions) code = code.slice(0, 2 * start) + libraries[name].slice(2).toLowerCase() + code.slice(2 * (start + 20));
    }
  }
  return `0x${code}`;
}

/** Sends at a fixed time to both, and compares what the transaction returned too. */
async function act(account, fields) {
  await at(clock += 1);
  const receipt = await send(account, { gas: 12_000_000n, ...fields });
  const traces = (await both("debug_traceTransaction", [receipt.transactionHash, { tracer: "callTracer" }])).map(({ result }) => result);
  assert.deepEqual(traces[0].output ?? "0x", traces[1].output ?? "0x");
  return { ...receipt, output: traces[0].output ?? "0x" };
}
async function deploy({ abi, bytecode }, args = [], account = alice) {
  const receipt = await act(account, { data: encodeDeployData({ abi, bytecode, args }) });
  assert.equal(receipt.status, "0x1");
  return contract(receipt.contractAddress, abi);
}
/** A contract on both chains. */
function contract(address, abi) {
  const data = (functionName, args) => encodeFunctionData({ abi, functionName, args });
  const decoded = (functionName, result) => decodeFunctionResult({ abi, functionName, data: result });
  const write = async (account, functionName, args, value) => act(account, { to: address, data: data(functionName, args), value });
  return {
    address, abi, data,
    read: async (functionName, args = []) => decoded(functionName, await same("eth_call", [{ from: alice.address, to: address, data: data(functionName, args) }, "latest"])),
    write: async (account, functionName, args = [], value = 0n) => {
      const receipt = await write(account, functionName, args, value);
      assert.equal(receipt.status, "0x1", `${functionName} failed: ${receipt.output}`);
      return receipt;
    },
    /** Fails in a block and in a call, with the same data on both; gives it. */
    fails: async (account, functionName, args = [], value = 0n) => {
      const receipt = await write(account, functionName, args, value);
      assert.equal(receipt.status, "0x0", `${functionName} succeeded`);
      const error = await sameFailure("eth_call", [{ from: account.address, to: address, data: data(functionName, args), value: toHex(value) }, "latest"]);
      assert.equal(error.data ?? "0x", receipt.output);
      return receipt.output === "0x" ? undefined : decodeErrorResult({ abi, data: receipt.output });
    },
    logs: (receipt, eventName) => parseEventLogs({ abi, logs: receipt.logs, eventName }),
  };
}

const zeppelin = (name) => require(`@openzeppelin/contracts/build/contracts/${name}.json`);
const gnosis = (name) => require(`@gnosis.pm/conditional-tokens-market-makers/build/contracts/${name}.json`);
const shared = {};
/** Collateral paid, outcome, tokens bought: one after the other, of a pool of 50 with a fee of 2 %. */
const BUYS = [["10", 0n, 17993979933110367892n], ["25", 0n, 36650029556806595333n]];

await report("published", {
  "OpenZeppelin: a token with permits and votes": async () => {
    const source = `// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;
import "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";
contract Votes is ERC20Votes {
  constructor() ERC20("Votes", "VOTE") ERC20Permit("Votes") { _mint(msg.sender, 1000 ether); }
}`;
    const { Votes } = compile({ "Votes.sol": source }, ["Votes"]);
    const votes = await deploy({ abi: Votes.abi, bytecode: `0x${Votes.object}` });
    const domain = { name: "Votes", version: "1", chainId, verifyingContract: votes.address };
    const split = (signature) => [Number(`0x${signature.slice(130)}`), signature.slice(0, 66), `0x${signature.slice(66, 130)}`];
    const permit = { owner: alice.address, spender: bob.address, value: 7n, nonce: 0n, deadline: BigInt(clock + 1000) };
    const types = { Permit: [["owner", "address"], ["spender", "address"], ["value", "uint256"], ["nonce", "uint256"], ["deadline", "uint256"]].map(([name, type]) => ({ name, type })) };
    const signature = split(await alice.signTypedData({ domain, types, primaryType: "Permit", message: permit }));
    const args = [permit.owner, permit.spender, permit.value, permit.deadline, ...signature];
    await votes.write(carol, "permit", args);
    assert.equal(await votes.read("allowance", [alice.address, bob.address]), 7n);
    assert.equal((await votes.fails(carol, "permit", args)).args[0], "ERC20Permit: invalid signature");
    await votes.write(bob, "transferFrom", [alice.address, carol.address, 7n]);
    const delegation = { delegatee: carol.address, nonce: 1n, expiry: BigInt(clock + 1000) };
    const delegationTypes = { Delegation: [["delegatee", "address"], ["nonce", "uint256"], ["expiry", "uint256"]].map(([name, type]) => ({ name, type })) };
    const delegated = split(await alice.signTypedData({ domain, types: delegationTypes, primaryType: "Delegation", message: delegation }));
    const receipt = await votes.write(bob, "delegateBySig", [delegation.delegatee, delegation.nonce, delegation.expiry, ...delegated]);
    await votes.write(alice, "transfer", [bob.address, 100n]);
    assert.equal(await votes.read("getVotes", [carol.address]), 10n ** 21n - 107n);
    assert.equal(await votes.read("getPastVotes", [carol.address, BigInt(receipt.blockNumber)]), 10n ** 21n - 7n);
    assert.equal(await votes.read("getPastTotalSupply", [BigInt(receipt.blockNumber)]), 10n ** 21n);
  },

  "OpenZeppelin: a time lock opens when it is time": async () => {
    const vault = await deploy(zeppelin("ERC20PresetFixedSupply"), ["Fixed", "FIX", 1000n, alice.address]);
    const lock = await deploy(zeppelin("TimelockController"), [3600n, [alice.address], [zeroAddress], zeroAddress]);
    await vault.write(alice, "transfer", [lock.address, 500n]);
    const operation = [vault.address, 0n, vault.data("transfer", [bob.address, 200n]), zeroHash, toHex(5, { size: 32 })];
    assert.match((await lock.fails(bob, "schedule", [...operation, 3600n])).args[0], /is missing role/);
    await lock.fails(alice, "schedule", [...operation, 10n]);
    const scheduled = await lock.write(alice, "schedule", [...operation, 3600n]);
    assert.equal(lock.logs(scheduled, "CallScheduled")[0].args.delay, 3600n);
    assert.equal((await lock.fails(carol, "execute", operation)).args[0], "TimelockController: operation is not ready");
    clock += 3600;
    await lock.write(carol, "execute", operation);
    assert.equal(await vault.read("balanceOf", [bob.address]), 200n);
    await lock.fails(carol, "execute", operation);
    const id = await lock.read("hashOperation", operation);
    assert.equal(await lock.read("isOperationDone", [id]), true);
  },

  "OpenZeppelin: proxies, and tokens of other kinds": async () => {
    const logic = await deploy(zeppelin("ERC20PresetFixedSupply"), ["Logic", "LOG", 1n, alice.address]);
    const proxy = await deploy(zeppelin("TransparentUpgradeableProxy"), [logic.address, bob.address, "0x"]);
    assert.equal(await contract(proxy.address, logic.abi).read("decimals"), 18);
    await contract(proxy.address, logic.abi).fails(carol, "transfer", [bob.address, 1n]);
    const nft = await deploy(zeppelin("ERC721PresetMinterPauserAutoId"), ["Item", "ITM", "https://example.org/"]);
    await nft.write(alice, "mint", [bob.address]);
    await nft.write(bob, "safeTransferFrom", [bob.address, carol.address, 0n]);
    await nft.fails(bob, "transferFrom", [carol.address, bob.address, 0n]);
    assert.equal(await nft.read("tokenURI", [0n]), "https://example.org/0");
    const many = await deploy(zeppelin("ERC1155PresetMinterPauser"), ["https://example.org/{id}"]);
    await many.write(alice, "mintBatch", [bob.address, [1n, 2n, 3n], [10n, 20n, 30n], "0x"]);
    await many.write(bob, "safeBatchTransferFrom", [bob.address, carol.address, [1n, 3n], [4n, 5n], "0x"]);
    assert.deepEqual(await many.read("balanceOfBatch", [[bob.address, carol.address, carol.address], [1n, 1n, 3n]]), [6n, 4n, 5n]);
  },

  "Gnosis: conditional tokens have the ids that they have elsewhere": async () => {
    shared.tokens = await deploy(gnosis("ConditionalTokens"));
    const vector = { oracle: pad("0xaa", { size: 20 }), question: `0x${"11".repeat(32)}` };
    const condition = await shared.tokens.read("getConditionId", [vector.oracle, vector.question, 2n]);
    assert.equal(condition, "0x88b426eaa9907fcbce557c0ef210e0e339257c4845df03337305b88cb222c32f");
    assert.equal(condition, keccak256(encodePacked(["address", "bytes32", "uint256"], [vector.oracle, vector.question, 2n])));
    assert.equal(await shared.tokens.read("getCollectionId", [zeroHash, condition, 1n]), "0x0480e8b27e1fc73250f0a1c88876aa80d21abcf3fdf072476111e2df14d6ab99");
    assert.equal(await shared.tokens.read("getCollectionId", [zeroHash, condition, 2n]), "0x4fe45ebfc3f62719684b22ff8ab72bad1d89295307fa9a1b2462350ac2222656");
    await shared.tokens.write(bob, "prepareCondition", [vector.oracle, vector.question, 2n]);
    await shared.tokens.fails(bob, "prepareCondition", [vector.oracle, vector.question, 2n]);
  },

  "Gnosis: split, merge, report, redeem": async () => {
    const { tokens } = shared;
    shared.coin = await deploy(gnosis("WETH9"));
    const question = toHex(22, { size: 32 });
    await tokens.write(bob, "prepareCondition", [bob.address, question, 3n]);
    const condition = await tokens.read("getConditionId", [bob.address, question, 3n]);
    await shared.coin.write(alice, "deposit", [], parseEther("500"));
    await shared.coin.write(alice, "approve", [tokens.address, 2n ** 256n - 1n]);
    await tokens.write(alice, "splitPosition", [shared.coin.address, zeroHash, condition, [1n, 2n, 4n], 1000n]);
    await tokens.write(alice, "mergePositions", [shared.coin.address, zeroHash, condition, [1n, 2n], 400n]);
    await tokens.fails(alice, "mergePositions", [shared.coin.address, zeroHash, condition, [1n, 2n], 4000n]);
    await tokens.fails(carol, "redeemPositions", [shared.coin.address, zeroHash, condition, [1n]]);
    await tokens.write(bob, "reportPayouts", [question, [1n, 0n, 3n]]);
    const paid = await tokens.write(alice, "redeemPositions", [shared.coin.address, zeroHash, condition, [1n, 2n, 4n, 3n]]);
    assert.equal(tokens.logs(paid, "PayoutRedemption")[0].args.payout, 150n + 0n + 750n + 100n);
  },

  "Gnosis: the LMSR market maker prices as it does elsewhere": async () => {
    const { tokens, coin } = shared;
    const math = await deploy(gnosis("Fixed192x64Math"));
    const factory = gnosis("LMSRMarketMakerFactory");
    const link = (code) => code.replace(/__Fixed192x64Math_+/g, math.address.slice(2).toLowerCase());
    const makers = await deploy({ abi: factory.abi, bytecode: link(factory.bytecode) });
    const question = toHex(33, { size: 32 });
    await tokens.write(bob, "prepareCondition", [bob.address, question, 2n]);
    const condition = await tokens.read("getConditionId", [bob.address, question, 2n]);
    await coin.write(alice, "approve", [makers.address, parseEther("50")]);
    const made = await makers.write(alice, "createLMSRMarketMaker", [tokens.address, coin.address, [condition], 0n, zeroAddress, parseEther("50")]);
    const [{ args }] = makers.logs(made, "LMSRMarketMakerCreation");
    const market = contract(args.lmsrMarketMaker, gnosis("LMSRMarketMaker").abi);
    const ether = (amounts) => amounts.map((amount) => parseEther(String(amount)));
    const vectors = [[[10, 0], 5173148212390206317n], [[25, 0], 14429113393301146014n], [[0, 60], 28975403552489246322n], [[-5, 7], 2269072377415636854n], [[200, 0], 136315487031727132370n]];
    assert.equal(await market.read("calcMarginalPrice", [0]), 2n ** 63n);
    await coin.write(alice, "approve", [market.address, 2n ** 256n - 1n]);
    await tokens.write(alice, "setApprovalForAll", [market.address, true]);
    // Each trade moves the prices that the next one meets.
    for (const [amounts, cost] of vectors) {
      assert.equal(await market.read("calcNetCost", [ether(amounts)]), cost);
      const traded = await market.write(alice, "trade", [ether(amounts), 0n]);
      assert.equal(market.logs(traded, "AMMOutcomeTokenTrade")[0].args.outcomeTokenNetCost, cost);
      console.log(`     trade of ${amounts.join(" and ")}: ${BigInt(traded.gasUsed)} gas`);
    }
    await market.fails(alice, "trade", [ether([10, 0]), 1n]);
    assert.ok(await market.read("calcMarginalPrice", [0]) > 2n ** 63n);
  },

  "Gnosis: the fixed product market maker prices as it does elsewhere": async () => {
    const { tokens, coin } = shared;
    const factory = gnosis("FPMMDeterministicFactory");
    const makers = await deploy(factory);
    const question = toHex(44, { size: 32 });
    await tokens.write(bob, "prepareCondition", [bob.address, question, 2n]);
    const condition = await tokens.read("getConditionId", [bob.address, question, 2n]);
    await coin.write(alice, "approve", [makers.address, 2n ** 256n - 1n]);
    const fee = parseEther("0.02");
    const made = await makers.write(alice, "create2FixedProductMarketMaker", [1n, tokens.address, coin.address, [condition], fee, parseEther("50"), []]);
    const [{ args }] = makers.logs(made, "FixedProductMarketMakerCreation");
    const market = contract(args.fixedProductMarketMaker, gnosis("FixedProductMarketMaker").abi);
    await coin.write(alice, "approve", [market.address, 2n ** 256n - 1n]);
    for (const [paid, outcome, got] of BUYS) {
      assert.equal(await market.read("calcBuyAmount", [parseEther(paid), outcome]), got);
      const bought = await market.write(alice, "buy", [parseEther(paid), outcome, got]);
      assert.equal(market.logs(bought, "FPMMBuy")[0].args.outcomeTokensBought, got);
    }
    await market.fails(alice, "buy", [parseEther("10"), 0n, parseEther("40")]);
    await tokens.write(alice, "setApprovalForAll", [market.address, true]);
    await market.write(alice, "sell", [parseEther("1"), 0n, parseEther("5")]);
    await market.write(alice, "removeFunding", [parseEther("20")]);
  },

  "Reality.eth 3.0: bonds double, time runs, answers settle": async () => {
    const bytecode = `0x${readFileSync(require.resolve("@reality.eth/contracts/bytecode/RealityETH-3.0.bin"), "utf8").trim().replace(/^0x/, "")}`;
    const abi = require("@reality.eth/contracts/abi/solc-0.8.6/RealityETH-3.0.abi.json");
    const reality = await deploy({ abi, bytecode });
    const yes = toHex(1, { size: 32 });
    const no = zeroHash;
    const asked = await reality.write(alice, "askQuestion", [0n, "Does it run?␟misc␟en", carol.address, 86_400, 0, 0n], 10n ** 15n);
    const [{ args: { question_id: id, content_hash: content } }] = reality.logs(asked, "LogNewQuestion");
    assert.equal(content, keccak256(encodePacked(["uint256", "uint32", "string"], [0n, 0, "Does it run?␟misc␟en"])));
    const bond = 10n ** 16n;
    await reality.write(alice, "submitAnswer", [id, no, 0n], bond);
    assert.equal((await reality.fails(bob, "submitAnswer", [id, yes, 0n], 2n * bond - 1n)).args[0], "bond must be double at least previous bond");
    await reality.write(bob, "submitAnswer", [id, yes, 0n], 2n * bond);
    await reality.fails(carol, "resultFor", [id]);
    await reality.fails(bob, "submitAnswerByArbitrator", [id, no, bob.address]);
    clock += 86_400;
    await reality.fails(alice, "submitAnswer", [id, no, 0n], 8n * bond);
    assert.equal(await reality.read("resultFor", [id]), yes);
    const first = keccak256(encodePacked(["bytes32", "bytes32", "uint256", "address", "bool"], [zeroHash, no, bond, alice.address, false]));
    const claimed = await reality.write(carol, "claimWinnings", [id, [first, zeroHash], [bob.address, alice.address], [2n * bond, bond], [yes, no]]);
    // The winner has the bounty, the own bond, and the other's but for the fortieth that is burnt of every bond except the last.
    const claims = reality.logs(claimed, "LogClaim");
    assert.ok(claims.every(({ args }) => args.user === bob.address));
    assert.equal(claims.reduce((sum, { args }) => sum + args.amount, 0n), 10n ** 15n + 2n * bond + bond - bond / 40n);
    assert.equal(await reality.read("balanceOf", [bob.address]), 10n ** 15n + 2n * bond + bond - bond / 40n);
    await reality.write(bob, "withdraw");
    assert.equal(await reality.read("balanceOf", [bob.address]), 0n);
  },

  "Semaphore: memberships are proved once, on BN254": async () => {
    const path = (name) => readFileSync(require.resolve(name), "utf8");
    const names = ["Semaphore", "SemaphoreVerifier", "PoseidonT3"];
    const built = compile({ "@semaphore-protocol/contracts/Semaphore.sol": path("@semaphore-protocol/contracts/Semaphore.sol"), "@semaphore-protocol/contracts/base/SemaphoreVerifier.sol": path("@semaphore-protocol/contracts/base/SemaphoreVerifier.sol") }, names);
    const poseidon = await deploy({ abi: built.PoseidonT3.abi, bytecode: linked(built.PoseidonT3, {}) });
    const verifier = await deploy({ abi: built.SemaphoreVerifier.abi, bytecode: linked(built.SemaphoreVerifier, {}) });
    const semaphore = await deploy({ abi: built.Semaphore.abi, bytecode: linked(built.Semaphore, { PoseidonT3: poseidon.address }) }, [verifier.address]);
    const { members, root, proofs } = JSON.parse(readFileSync(new URL("published/semaphore-proof.json", import.meta.url)));
    const read = (proof) => Object.fromEntries(["merkleTreeDepth", "merkleTreeRoot", "nullifier", "message", "scope"].map((name) => [name, BigInt(proof[name])]).concat([["points", proof.points.map(BigInt)]]));
    await semaphore.write(alice, "createGroup");
    await semaphore.fails(bob, "addMember", [0n, BigInt(members[0])]);
    await semaphore.write(alice, "addMember", [0n, BigInt(members[0])]);
    await semaphore.write(alice, "addMembers", [0n, members.slice(1).map(BigInt)]);
    assert.equal(await semaphore.read("getMerkleTreeRoot", [0n]), BigInt(root));
    const [first, second] = proofs.map(read);
    assert.equal(await semaphore.read("verifyProof", [0n, first]), true);
    const proved = await semaphore.write(carol, "validateProof", [0n, first]);
    assert.equal(semaphore.logs(proved, "ProofValidated")[0].args.nullifier, first.nullifier);
    assert.equal((await semaphore.fails(carol, "validateProof", [0n, first])).errorName, "Semaphore__YouAreUsingTheSameNullifierTwice");
    for (const changed of [{ message: second.message + 1n }, { nullifier: second.nullifier + 1n }, { points: first.points }]) {
      const outcome = await semaphore.fails(carol, "validateProof", [0n, { ...second, ...changed }]);
      assert.equal(outcome.errorName, "Semaphore__InvalidProof");
    }
    await semaphore.write(bob, "validateProof", [0n, second]);
    console.log(`     a proof used ${BigInt(proved.gasUsed)} gas`);
  },
});
