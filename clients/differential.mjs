// The same signed transactions and the same requests to this node and to anvil: what both must say is compared field by field.
import assert from "node:assert/strict";
import { concat, encodeDeployData, encodeFunctionData, getContractAddress, keccak256, pad, toHex } from "viem";
import { accounts, both, chainId, mined, nonces, same, sameFailure, send } from "./beside-anvil.mjs";
import { FixedToken, Token, report } from "./common.mjs";

const [alice, bob, carol] = accounts;
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
  // Anvil takes no call without a receiver here, and its codes of errors are not the specification's: those are for "conformance".
  "simulated calls": async () => {
    const blockStateCalls = [
      { stateOverrides: { [toHex(0x99, { size: 20 })]: { code: "0xfe" }, [carol.address]: { balance: toHex(10n ** 19n) } }, calls: [
        { from: alice.address, to: token, input: call("mint", [bob.address, 7n]) },
        { from: bob.address, to: token, input: call("transfer", [alice.address, 10n ** 30n]) },
        { from: alice.address, to: bob.address, value: toHex(5n) },
        { from: alice.address, to: toHex(0x99, { size: 20 }), gas: "0x30000" },
      ] },
      { calls: [{ from: alice.address, to: token, input: call("balanceOf", [bob.address]) }] },
    ];
    const answers = (await both("eth_simulateV1", [{ blockStateCalls, traceTransfers: true }, "latest"])).map(({ result, error }) => {
      assert.ok(result, JSON.stringify(error));
      return result.map(({ gasUsed, calls }) => ({ gasUsed, calls: calls.map(({ status, gasUsed, logs, error }) => ({
        status, gasUsed, failed: !!error, logs: (logs ?? []).map(({ address, topics, data }) => ({ address: address.toLowerCase(), topics, data })),
      })) }));
    });
    assert.deepEqual(answers[0], answers[1]);
  },
  "access lists": async () => {
    const lists = (await both("eth_createAccessList", [{ from: alice.address, to: token, data: call("mint", [bob.address, 1n]) }, "latest"])).map(({ result }) => ({
      gasUsed: result.gasUsed, accessList: result.accessList.map(({ address, storageKeys }) => ({ address, storageKeys: storageKeys.toSorted() })),
    }));
    assert.deepEqual(lists[0], lists[1]);
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
