import assert from "node:assert/strict";
import {
  BaseError, ContractFunctionRevertedError, InsufficientFundsError, NonceTooLowError, createPublicClient, createTestClient,
  createWalletClient, defineChain, encodeFunctionData, erc20Abi, http, parseEther, parseEventLogs, keccak256, toHex, pad, concat,
} from "viem";
import { mnemonicToAccount } from "viem/accounts";
import { Token, mail, mnemonic, report, rpc, url } from "./common.mjs";

const chainId = Number((await rpc("eth_chainId")).result);
const chain = defineChain({
  id: chainId, name: "Tacit", nativeCurrency: { name: "Tacit", symbol: "TACIT", decimals: 18 }, rpcUrls: { default: { http: [url] } },
});
const [alice, bob, carol, dave] = [0, 1, 2, 3].map((addressIndex) => mnemonicToAccount(mnemonic, { addressIndex }));
const options = { chain, transport: http(url, { batch: true }), pollingInterval: 50, cacheTime: 0 };
const client = createPublicClient(options);
const wallet = createWalletClient({ ...options, account: alice });
const test = createTestClient({ ...options, mode: "ganache" });
const mined = (hash) => client.waitForTransactionReceipt({ hash });
const errorIn = (error, kind) => error instanceof BaseError && error.walk((inner) => inner instanceof kind);
let token, mintBlock;

await report("viem", {
  "chain, client version, prefunded balance": async () => {
    assert.equal(await client.getChainId(), chainId);
    assert.match(await client.request({ method: "web3_clientVersion" }), /tacit/i);
    assert.equal(await client.getBalance({ address: alice.address }), parseEther("10000"));
    assert.equal(await client.getBlockNumber(), 0n);
  },

  "transfers of types 0, 1 and 2 move coin exactly": async () => {
    for (const [type, fields] of [["legacy", {}], ["eip2930", { accessList: [{ address: bob.address, storageKeys: [toHex(1, { size: 32 })] }] }], ["eip1559", {}]]) {
      const [a, b] = await Promise.all([alice, bob].map(({ address }) => client.getBalance({ address })));
      const hash = await wallet.sendTransaction({ to: bob.address, value: 7n, type, ...fields });
      const receipt = await mined(hash);
      assert.equal(receipt.status, "success");
      assert.equal(receipt.type, type);
      assert.equal(await client.getBalance({ address: bob.address }), b + 7n);
      assert.equal(await client.getBalance({ address: alice.address }), a - 7n - receipt.gasUsed * receipt.effectiveGasPrice);
      const transaction = await client.getTransaction({ hash });
      assert.equal(transaction.type, type);
      assert.equal(transaction.from.toLowerCase(), alice.address.toLowerCase());
      assert.equal(transaction.blockHash, receipt.blockHash);
      assert.equal(type === "eip1559" ? 21000n : receipt.gasUsed, receipt.gasUsed);
    }
  },

  "published bytecode deploys": async () => {
    const hash = await wallet.deployContract({ ...Token, args: ["Work", "WRK"] });
    const receipt = await mined(hash);
    assert.equal(receipt.status, "success");
    token = { address: receipt.contractAddress, abi: Token.abi };
    assert.equal(await client.getCode(token), Token.deployedBytecode);
    assert.equal(await client.readContract({ ...token, functionName: "name" }), "Work");
    assert.equal(await client.readContract({ ...token, functionName: "decimals" }), 18);
  },

  "a simulated write, its event, its logs by every filter": async () => {
    const { request } = await client.simulateContract({ ...token, functionName: "mint", args: [carol.address, 1000n], account: alice });
    const gas = await client.estimateContractGas({ ...token, functionName: "mint", args: [carol.address, 1000n], account: alice });
    const receipt = await mined(await wallet.writeContract(request));
    mintBlock = receipt.blockNumber;
    assert.ok(gas >= receipt.gasUsed, `estimate ${gas} below use ${receipt.gasUsed}`);
    const [event] = parseEventLogs({ abi: Token.abi, logs: receipt.logs, eventName: "Transfer" });
    assert.deepEqual(event.args, { from: "0x0000000000000000000000000000000000000000", to: carol.address, value: 1000n });
    assert.equal(await client.readContract({ ...token, functionName: "balanceOf", args: [carol.address] }), 1000n);
    const byEvent = await client.getContractEvents({ ...token, eventName: "Transfer", fromBlock: 0n });
    const byArgument = await client.getContractEvents({ ...token, eventName: "Transfer", args: { to: carol.address }, fromBlock: 0n });
    const byHash = await client.getLogs({ blockHash: receipt.blockHash });
    const elsewhere = await client.getContractEvents({ ...token, eventName: "Transfer", args: { to: dave.address }, fromBlock: 0n });
    assert.deepEqual(byEvent, byArgument);
    assert.equal(byEvent.length, 1);
    assert.equal(byEvent[0].logIndex, receipt.logs[0].logIndex);
    assert.deepEqual(byHash.map((log) => log.data), receipt.logs.map((log) => log.data));
    assert.equal(elsewhere.length, 0);
  },

  "filters deliver what is new": async () => {
    const logs = await client.createContractEventFilter({ ...token, eventName: "Transfer" });
    const blocks = await client.createBlockFilter();
    assert.deepEqual(await client.getFilterChanges({ filter: logs }), []);
    const receipt = await mined(await wallet.writeContract({ ...token, functionName: "mint", args: [dave.address, 5n] }));
    const changes = await client.getFilterChanges({ filter: logs });
    assert.deepEqual(changes.map((log) => log.args.value), [5n]);
    assert.deepEqual(await client.getFilterChanges({ filter: logs }), []);
    assert.equal((await client.getFilterLogs({ filter: logs })).length, 1);
    assert.deepEqual(await client.getFilterChanges({ filter: blocks }), [receipt.blockHash]);
    assert.equal(await client.uninstallFilter({ filter: logs }), true);
    assert.equal(await client.uninstallFilter({ filter: logs }), false);
  },

  "a revert carries its reason": async () => {
    await assert.rejects(
      client.simulateContract({ ...token, functionName: "transfer", args: [bob.address, 1n], account: bob }),
      (error) => errorIn(error, ContractFunctionRevertedError)?.reason === "ERC20: transfer amount exceeds balance",
    );
    await assert.rejects(client.estimateContractGas({ ...token, functionName: "mint", args: [bob.address, 1n], account: bob }));
    const hash = await wallet.writeContract({ ...token, functionName: "transfer", args: [bob.address, 1n], gas: 100_000n });
    const receipt = await mined(hash);
    assert.equal(receipt.status, "reverted");
    assert.deepEqual(receipt.logs, []);
  },

  "state overrides and history": async () => {
    const balanceOf = { ...token, functionName: "balanceOf", args: [carol.address] };
    const slot = keccak256(concat([pad(carol.address), toHex(2, { size: 32 })]));
    const faked = await client.readContract({
      ...balanceOf, stateOverride: [{ address: token.address, stateDiff: [{ slot, value: toHex(77, { size: 32 }) }] }],
    });
    assert.equal(BigInt(await client.getStorageAt({ address: token.address, slot })), 1000n);
    assert.equal(faked, 77n);
    assert.equal(await client.readContract({ ...balanceOf, blockNumber: mintBlock }), 1000n);
    assert.equal(await client.readContract({ ...balanceOf, blockNumber: mintBlock - 1n }), 0n);
  },

  "typed data: signed here, verified there": async () => {
    const data = { domain: mail.domain(chainId), types: mail.types, primaryType: "Mail", message: mail.message };
    const signature = await wallet.signTypedData(data);
    assert.equal(await client.verifyTypedData({ ...data, signature, address: alice.address }), true);
    assert.equal(await client.verifyTypedData({ ...data, signature, address: bob.address }), false);
  },

  "an account delegates its code (type 4)": async () => {
    const authorization = await wallet.signAuthorization({ account: dave, contractAddress: token.address });
    const receipt = await mined(await wallet.sendTransaction({ to: dave.address, data: encodeFunctionData({ abi: erc20Abi, functionName: "decimals" }), authorizationList: [authorization] }));
    assert.equal(receipt.status, "success");
    assert.equal(receipt.type, "eip7702");
    assert.equal(await client.getCode({ address: dave.address }), concat(["0xef0100", token.address]).toLowerCase());
    assert.equal(await client.readContract({ abi: erc20Abi, address: dave.address, functionName: "totalSupply" }), 0n);
    const transaction = await client.getTransaction({ hash: receipt.transactionHash });
    assert.equal(transaction.authorizationList[0].address.toLowerCase(), token.address.toLowerCase());
  },

  "an access list is found, and costs what it says": async () => {
    const message = { account: alice.address, to: token.address, data: encodeFunctionData({ ...token, functionName: "mint", args: [carol.address, 1n] }) };
    const { accessList, gasUsed } = await client.createAccessList(message);
    assert.deepEqual(accessList.map(({ address }) => address.toLowerCase()), [token.address.toLowerCase()]);
    for (const type of ["eip2930", "eip1559"]) {
      const receipt = await mined(await wallet.sendTransaction({ to: message.to, data: message.data, type, accessList, gas: 200_000n }));
      assert.deepEqual([receipt.status, receipt.type, receipt.gasUsed], ["success", type, gasUsed]);
      assert.deepEqual((await client.getTransaction({ hash: receipt.transactionHash })).accessList, accessList);
    }
  },

  "simulated blocks and calls": async () => {
    const write = (value) => ({ to: token.address, abi: Token.abi, functionName: "mint", args: [bob.address, value] });
    const read = { to: token.address, abi: Token.abi, functionName: "balanceOf", args: [bob.address] };
    const before = await client.readContract({ ...token, functionName: "balanceOf", args: [bob.address] });
    const blocks = await client.simulateBlocks({
      blocks: [
        { calls: [{ ...write(5n), account: alice }, { ...write(5n), account: bob }], blockOverrides: { time: 2n ** 40n } },
        { calls: [read], stateOverrides: [{ address: bob.address, balance: 1n }] },
      ],
      traceTransfers: true,
    });
    const [[minted, refused], [balance]] = blocks.map(({ calls }) => calls);
    assert.deepEqual([minted.status, minted.logs.length, refused.status, balance.result], ["success", 1, "failure", before + 5n]);
    assert.equal(blocks[0].timestamp, 2n ** 40n);
    const { results, assetChanges } = await client.simulateCalls({ account: alice.address, calls: [{ to: carol.address, value: 3n }], traceAssetChanges: true });
    assert.equal(results[0].status, "success");
    const coin = assetChanges.find(({ token: { symbol } }) => symbol === "ETH");
    assert.equal(coin.value.diff, -3n);
    assert.equal(await client.readContract({ ...token, functionName: "balanceOf", args: [bob.address] }), before);
  },

  "send and wait in one request": async () => {
    const prepared = await wallet.prepareTransactionRequest({ to: bob.address, value: 1n });
    const receipt = await client.sendRawTransactionSync({ serializedTransaction: await wallet.signTransaction(prepared) });
    assert.equal(receipt.status, "success");
  },

  "blocks, receipts and counts agree": async () => {
    const block = await client.getBlock({ includeTransactions: true });
    assert.equal(block.transactions.length, 1);
    assert.equal(await client.getBlockTransactionCount({ blockHash: block.hash }), 1);
    assert.equal((await client.getBlock({ blockHash: block.hash })).transactions[0], block.transactions[0].hash);
    assert.equal((await client.getBlock({ blockNumber: block.number - 1n })).hash, block.parentHash);
    assert.equal((await client.getBlock({ blockTag: "finalized" })).hash, block.hash);
    assert.equal((await client.getTransaction({ blockHash: block.hash, index: 0 })).hash, block.transactions[0].hash);
    const receipts = await client.request({ method: "eth_getBlockReceipts", params: [toHex(block.number)] });
    assert.equal(receipts[0].transactionHash, block.transactions[0].hash);
  },

  "fees": async () => {
    const { maxFeePerGas, maxPriorityFeePerGas } = await client.estimateFeesPerGas();
    assert.ok(maxFeePerGas >= maxPriorityFeePerGas);
    const history = await client.getFeeHistory({ blockCount: 4, rewardPercentiles: [25, 75] });
    assert.equal(history.baseFeePerGas.length, 5);
    assert.equal(history.reward.length, 4);
    assert.ok((await client.getGasPrice()) >= history.baseFeePerGas.at(-1));
    assert.equal(typeof (await client.getBlobBaseFee()), "bigint");
  },

  "errors have the classes that applications catch": async () => {
    await assert.rejects(wallet.sendTransaction({ to: bob.address, value: parseEther("20000"), gas: 21000n }), (error) => !!errorIn(error, InsufficientFundsError));
    await assert.rejects(wallet.sendTransaction({ to: bob.address, value: 1n, nonce: 0, gas: 21000n }), (error) => !!errorIn(error, NonceTooLowError));
    await assert.rejects(client.getProof({ address: alice.address, storageKeys: [] }));
    await assert.rejects(client.getTransactionReceipt({ hash: toHex(1, { size: 32 }) }), { name: "TransactionReceiptNotFoundError" });
  },

  "time can be moved, and taken back": async () => {
    const id = await test.snapshot();
    const before = await client.getBlock();
    await test.increaseTime({ seconds: 3600 });
    await test.mine({ blocks: 1 });
    const after = await client.getBlock();
    assert.ok(after.timestamp >= before.timestamp + 3600n);
    await test.revert({ id });
    assert.equal((await client.getBlock()).hash, before.hash);
    const receipt = await mined(await wallet.sendTransaction({ to: bob.address, value: 1n }));
    assert.equal(receipt.blockNumber, before.number + 1n);
  },
});
