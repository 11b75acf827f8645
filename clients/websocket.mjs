// viem and ethers over WebSocket: what they send, and what they are told without asking.
import assert from "node:assert/strict";
import { Contract, ContractFactory, HDNodeWallet, Mnemonic, WebSocketProvider } from "ethers";
import { createPublicClient, createWalletClient, defineChain, parseAbiItem, webSocket } from "viem";
import { mnemonicToAccount } from "viem/accounts";
import { FixedToken, Token, mnemonic, report, rpc, url } from "./common.mjs";

const address = url.replace("http", "ws");
const chainId = Number((await rpc("eth_chainId")).result);
const chain = defineChain({
  id: chainId, name: "Tacit", nativeCurrency: { name: "Tacit", symbol: "TACIT", decimals: 18 }, rpcUrls: { default: { http: [url], webSocket: [address] } },
});
const [alice, bob] = [0, 1].map((addressIndex) => mnemonicToAccount(mnemonic, { addressIndex }));
const transport = webSocket(address, { keepAlive: false, reconnect: false });
const client = createPublicClient({ chain, transport, cacheTime: 0, pollingInterval: 50 });
const wallet = createWalletClient({ chain, transport, account: alice });
const mined = (hash) => client.waitForTransactionReceipt({ hash });
const patience = 10_000;

/** Collects what a subscription tells, and waits for so many. */
function collected() {
  const heard = [];
  let wake = () => {};
  return {
    heard, push: (...items) => { heard.push(...items); wake(); },
    reach: async (count) => {
      const end = Date.now() + patience;
      while (heard.length < count) {
        assert.ok(Date.now() < end, `heard ${heard.length} of ${count}`);
        await new Promise((done) => { wake = done; setTimeout(done, 100); });
      }
      return heard;
    },
  };
}
const onError = (error) => { throw error; };
/** Subscriptions are asked for in the background: each is there once the connection has answered what was sent after it. */
const subscribed = async (requester) => { await new Promise((done) => setTimeout(done, 100)); await requester.getBlockNumber(); };

const provider = new WebSocketProvider(address, undefined, { cacheTimeout: -1 });
const signers = [2, 3].map((index) => HDNodeWallet.fromMnemonic(Mnemonic.fromPhrase(mnemonic), `m/44'/60'/0'/0/${index}`).connect(provider));
let token;

await report("websocket", {
  "viem: requests": async () => {
    assert.equal(await client.getChainId(), chainId);
    const receipt = await mined(await wallet.deployContract({ ...Token, args: ["Work", "WRK"] }));
    token = { address: receipt.contractAddress, abi: Token.abi };
    assert.equal(await client.readContract({ ...token, functionName: "symbol" }), "WRK");
    const numbers = await Promise.all(Array.from({ length: 50 }, () => client.getBlockNumber()));
    assert.ok(numbers.every((number) => number === receipt.blockNumber));
    await assert.rejects(client.simulateContract({ ...token, functionName: "mint", args: [bob.address, 1n], account: bob }), /must have minter role/);
  },

  "viem: every block, in order": async () => {
    const blocks = collected();
    const stop = client.watchBlocks({ onBlock: (block) => blocks.push(block), onError });
    await subscribed(client);
    const hashes = [];
    for (let round = 0; round < 5; round += 1) hashes.push((await mined(await wallet.sendTransaction({ to: bob.address, value: 1n }))).blockHash);
    const heard = await blocks.reach(5);
    stop();
    assert.deepEqual(heard.map(({ hash }) => hash), hashes);
    assert.ok(heard.every(({ parentHash }, index) => index === 0 || parentHash === heard[index - 1].hash));
  },

  "viem: events of one contract, by argument": async () => {
    const [all, toBob] = [collected(), collected()];
    const stops = [
      client.watchEvent({ address: token.address, event: parseAbiItem("event Transfer(address indexed from, address indexed to, uint256 value)"), onLogs: (logs) => all.push(...logs), onError }),
      client.watchContractEvent({ ...token, eventName: "Transfer", args: { to: bob.address }, onLogs: (logs) => toBob.push(...logs), onError }),
    ];
    await subscribed(client);
    for (const to of [bob.address, alice.address, bob.address]) await mined(await wallet.writeContract({ ...token, functionName: "mint", args: [to, 7n] }));
    await wallet.sendTransaction({ to: bob.address, value: 1n });
    assert.deepEqual((await all.reach(3)).map(({ args }) => args.to), [bob.address, alice.address, bob.address]);
    const heard = await toBob.reach(2);
    assert.deepEqual(heard.map(({ args, eventName, removed }) => [args.value, eventName, removed]), [[7n, "Transfer", false], [7n, "Transfer", false]]);
    stops.forEach((stop) => stop());
    // Nobody listens any more.
    await mined(await wallet.writeContract({ ...token, functionName: "mint", args: [bob.address, 1n] }));
    assert.equal((await all.reach(3)).length, 3);
  },

  "viem: transactions before they are mined": async () => {
    const hashes = collected();
    const stop = client.watchPendingTransactions({ batch: false, onTransactions: (told) => hashes.push(...told), onError });
    await subscribed(client);
    await rpc("evm_setAutomine", [false]);
    const sent = await wallet.sendTransaction({ to: bob.address, value: 1n });
    assert.deepEqual(await hashes.reach(1), [sent]);
    assert.equal((await client.getTransaction({ hash: sent })).blockHash, null);
    await rpc("evm_mine");
    await rpc("evm_setAutomine", [true]);
    await mined(sent);
    stop();
  },

  "ethers: requests and receipts": async () => {
    const [carol, dave] = signers;
    assert.equal((await provider.getNetwork()).chainId, BigInt(chainId));
    const sent = await carol.sendTransaction({ to: dave.address, value: 5n });
    const receipt = await sent.wait();
    assert.equal(receipt.status, 1);
    assert.equal((await provider.getTransaction(sent.hash)).blockHash, receipt.blockHash);
  },

  "ethers: blocks, pending transactions and events": async () => {
    const [carol, dave] = signers;
    const deployed = await (await new ContractFactory(FixedToken.abi, FixedToken.bytecode, carol).deploy("Fixed", "FIX", 1000n, carol.address)).waitForDeployment();
    const fixed = new Contract(await deployed.getAddress(), FixedToken.abi, carol);
    const [blocks, pending, events, logs] = [collected(), collected(), collected(), collected()];
    await provider.on("block", (number) => blocks.push(number));
    await provider.on("pending", (hash) => pending.push(hash));
    await fixed.on("Transfer", (from, to, value, event) => events.push([from, to, value, event.log.transactionHash]));
    await provider.on({ address: await fixed.getAddress(), topics: [null, null] }, (log) => logs.push(log));
    await subscribed(provider);
    const start = await provider.getBlockNumber();
    const receipts = [];
    for (const value of [1n, 2n]) receipts.push(await (await fixed.transfer(dave.address, value)).wait());
    assert.deepEqual((await blocks.reach(2)).slice(0, 2), [start + 1, start + 2]);
    assert.deepEqual(await pending.reach(2), receipts.map(({ hash }) => hash));
    assert.deepEqual(await events.reach(2), [1n, 2n].map((value, index) => [carol.address, dave.address, value, receipts[index].hash]));
    assert.deepEqual((await logs.reach(2)).map(({ transactionHash }) => transactionHash), receipts.map(({ hash }) => hash));
    await provider.removeAllListeners();
    await fixed.removeAllListeners();
    await provider.destroy();
  },
});
