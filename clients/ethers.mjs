import assert from "node:assert/strict";
import { ContractFactory, HDNodeWallet, JsonRpcProvider, Mnemonic, NonceManager, isError, parseEther, verifyTypedData } from "ethers";
import { FixedToken, mail, mnemonic, report, url } from "./common.mjs";

const provider = new JsonRpcProvider(url, undefined, { polling: true, pollingInterval: 50, cacheTimeout: -1 });
const seed = Mnemonic.fromPhrase(mnemonic);
const [alice, bob, carol] = [0, 1, 2].map((index) => HDNodeWallet.fromMnemonic(seed, `m/44'/60'/0'/0/${index}`).connect(provider));
const { chainId } = await provider.getNetwork();
let token;

await report("ethers", {
  "network and balances": async () => {
    assert.equal(await provider.getBalance(alice.address), parseEther("10000"));
    assert.equal(await provider.getTransactionCount(alice.address, "pending"), 0);
    assert.deepEqual(await provider.listAccounts(), []);
  },

  "transfers of types 0, 1 and 2 keep their hashes": async () => {
    for (const type of [0, 1, 2]) {
      const before = await provider.getBalance(bob.address);
      const populated = await alice.populateTransaction({ to: bob.address, value: 3n, type });
      const sent = await provider.broadcastTransaction(await alice.signTransaction(populated));
      const receipt = await sent.wait();
      assert.equal(receipt.status, 1);
      assert.equal(receipt.type, type);
      assert.equal(receipt.hash, sent.hash);
      assert.equal(await provider.getBalance(bob.address), before + 3n);
      // ethers hashes and recovers what the node gave back.
      const stored = await provider.getTransaction(sent.hash);
      assert.equal(stored.from, alice.address);
      assert.equal(stored.type, type);
    }
  },

  "many at once through a nonce manager": async () => {
    const manager = new NonceManager(bob);
    const sent = await Promise.all(Array.from({ length: 20 }, () => manager.sendTransaction({ to: carol.address, value: 1n, gasLimit: 21000n })));
    const receipts = await Promise.all(sent.map((transaction) => transaction.wait()));
    assert.ok(receipts.every((receipt) => receipt.status === 1));
    assert.equal(await provider.getTransactionCount(bob.address), 20);
  },

  "published bytecode deploys at the predicted address": async () => {
    const factory = new ContractFactory(FixedToken.abi, FixedToken.bytecode, alice);
    const deployed = await factory.deploy("Fixed", "FIX", 1_000_000n, alice.address);
    token = await deployed.waitForDeployment();
    assert.equal(await token.getAddress(), deployed.deploymentTransaction().creates ?? await deployed.getAddress());
    assert.equal(await provider.getCode(token), FixedToken.deployedBytecode);
    assert.equal(await token.totalSupply(), 1_000_000n);
  },

  "calls, events and queries": async () => {
    const receipt = await (await token.transfer(bob.address, 250n)).wait();
    const [log] = receipt.logs;
    assert.equal(log.fragment.name, "Transfer");
    assert.deepEqual([...log.args], [alice.address, bob.address, 250n]);
    const found = await token.queryFilter(token.filters.Transfer(null, bob.address), 0);
    assert.equal(found.length, 1);
    assert.equal(found[0].transactionHash, receipt.hash);
    assert.equal((await token.queryFilter(token.filters.Transfer(null, carol.address), 0)).length, 0);
    assert.equal(await token.balanceOf(bob.address), 250n);
    assert.equal(await token.balanceOf.staticCall(bob.address, { blockTag: receipt.blockNumber - 1 }), 0n);
  },

  "an event listener hears": async () => {
    const heard = new Promise((done) => token.once("Transfer", (from, to, value) => done([from, to, value])));
    await new Promise((done) => setTimeout(done, 200));
    await (await token.transfer(carol.address, 9n)).wait();
    assert.deepEqual(await heard, [alice.address, carol.address, 9n]);
  },

  "a revert is a call exception with its reason": async () => {
    await assert.rejects(token.connect(carol).transfer.staticCall(alice.address, 10n), (error) => isError(error, "CALL_EXCEPTION") && error.reason === "ERC20: transfer amount exceeds balance");
    await assert.rejects(token.connect(carol).transfer(alice.address, 10n), (error) => isError(error, "CALL_EXCEPTION") && error.action === "estimateGas");
    const sent = await token.connect(carol).transfer(alice.address, 10n, { gasLimit: 100_000n });
    await assert.rejects(sent.wait(), (error) => isError(error, "CALL_EXCEPTION") && error.receipt.status === 0);
  },

  "typed data": async () => {
    const signature = await alice.signTypedData(mail.domain(chainId), mail.types, mail.message);
    assert.equal(verifyTypedData(mail.domain(chainId), mail.types, mail.message, signature), alice.address);
  },

  "an account delegates its code (type 4)": async () => {
    const authorization = await carol.authorize({ address: await token.getAddress(), nonce: await carol.getNonce() });
    const sent = await alice.sendTransaction({ type: 4, to: carol.address, authorizationList: [authorization], gasLimit: 200_000n, data: "0x18160ddd" });
    assert.equal((await sent.wait()).status, 1);
    assert.equal(await provider.getCode(carol.address), `0xef0100${(await token.getAddress()).slice(2).toLowerCase()}`);
  },

  "an access list is found, and costs what it says": async () => {
    const message = { from: alice.address, to: await token.getAddress(), data: token.interface.encodeFunctionData("transfer", [bob.address, 1n]) };
    const { accessList, gasUsed } = await provider.send("eth_createAccessList", [message, "latest"]);
    assert.ok(accessList.length === 1 && accessList[0].storageKeys.length === 2);
    for (const type of [1, 2]) {
      const sent = await alice.sendTransaction({ ...message, type, accessList, gasLimit: 100_000n });
      const receipt = await sent.wait();
      assert.deepEqual([receipt.status, receipt.type, receipt.gasUsed], [1, type, BigInt(gasUsed)]);
      assert.deepEqual((await provider.getTransaction(sent.hash)).accessList.map(({ storageKeys }) => storageKeys), [accessList[0].storageKeys]);
    }
  },

  "errors have ethers' codes": async () => {
    await assert.rejects(alice.sendTransaction({ to: bob.address, value: parseEther("20000"), gasLimit: 21000n }), (error) => isError(error, "INSUFFICIENT_FUNDS"));
    await assert.rejects(alice.sendTransaction({ to: bob.address, value: 1n, nonce: 0, gasLimit: 21000n }), (error) => isError(error, "NONCE_EXPIRED"));
    // A transaction behind a gap waits; a second one for its nonce must pay more.
    const fees = { maxFeePerGas: 10n ** 9n, maxPriorityFeePerGas: 10n ** 6n };
    const nonce = (await alice.getNonce()) + 1;
    await alice.sendTransaction({ to: bob.address, value: 1n, nonce, gasLimit: 21000n, ...fees });
    await assert.rejects(alice.sendTransaction({ to: bob.address, value: 2n, nonce, gasLimit: 21000n, ...fees }), (error) => isError(error, "REPLACEMENT_UNDERPRICED"));
    assert.equal(await alice.getNonce("pending"), nonce - 1);
    await (await alice.sendTransaction({ to: bob.address, value: 1n, gasLimit: 21000n })).wait();
    assert.equal(await alice.getNonce(), nonce + 1);
  },

  "blocks carry their transactions": async () => {
    const block = await provider.getBlock("latest", true);
    assert.equal(block.length, block.prefetchedTransactions.length);
    assert.ok(block.prefetchedTransactions.every((transaction) => transaction.blockHash === block.hash));
    const fees = await provider.getFeeData();
    assert.ok(fees.maxFeePerGas > fees.maxPriorityFeePerGas && fees.gasPrice > 0n);
  },
});
