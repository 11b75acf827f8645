// Writes block.json beside this file: one block of transactions, executed by an EVM that is not ours.
//
//     npm install @ethereumjs/vm@10 @ethereumjs/common@10 @ethereumjs/tx@10 @ethereumjs/block@10 && node make.js
//
// The chain, accounts and keys are those of crates/tacit-ledger/tests/it/support.rs. Modules are no part of this: it checks that
// everything else about our blocks (gas, receipts, logs, roots, header hash) is Ethereum's.
const fs = require("fs");
const path = require("path");
const { createBlock, genTransactionsTrieRoot } = require("@ethereumjs/block");
const { createCustomCommon, Hardfork, Mainnet } = require("@ethereumjs/common");
const tx = require("@ethereumjs/tx");
const { MerklePatriciaTrie } = require("@ethereumjs/mpt");
const { RLP } = require("@ethereumjs/rlp");
const util = require("@ethereumjs/util");
const { createVM, encodeReceipt, runTx } = require("@ethereumjs/vm");

const COIN = 10n ** 18n;
const CHAIN_ID = 1337;
const BENEFICIARY = "0x" + "fe".repeat(20);
const key = (n) => util.setLengthLeft(util.intToBytes(n), 32);
const address = (n) => util.createAddressFromPrivateKey(key(n));
const artifacts = JSON.parse(
  fs.readFileSync(path.join(__dirname, "../../crates/tacit-abi/solidity/fixtures/artifacts.json"), "utf8"),
).contracts;

const word = (value) => BigInt(value).toString(16).padStart(64, "0");
const text = (value) => {
  const bytes = Buffer.from(value, "utf8");
  return word(bytes.length) + bytes.toString("hex").padEnd(Math.ceil(bytes.length / 32) * 64, "0");
};
const selector = (contract, name) =>
  Object.entries(artifacts[contract].methods).find(([signature]) => signature.startsWith(name + "("))[1];

const version = (name) => {
  const entry = require.resolve(name);
  const root = entry.slice(0, entry.lastIndexOf(path.join("node_modules", name)) + path.join("node_modules", name).length);
  return JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8")).version;
};

async function main() {
  const common = createCustomCommon({ chainId: CHAIN_ID }, Mainnet, { hardfork: Hardfork.Osaka });
  const vm = await createVM({ common });
  for (let n = 1; n <= 4; n++) {
    await vm.stateManager.putAccount(address(n), util.createAccount({ nonce: 0n, balance: 1000n * COIN }));
  }
  const header = {
    number: 1n,
    timestamp: 1_800_000_001n,
    gasLimit: 60_000_000n,
    baseFeePerGas: 875n,
    coinbase: BENEFICIARY,
  };
  const block = createBlock({ header }, { common, skipConsensusFormatValidation: true });

  const nonces = [0, 0, 0, 0, 0];
  const fees = { maxFeePerGas: 10_000n, maxPriorityFeePerGas: 7n };
  const send = (from, fields) => [from, { chainId: CHAIN_ID, nonce: nonces[from]++, gasLimit: 3_000_000n, ...fees, ...fields }];
  const caller = util.createContractAddress(address(1), 0n);
  const twin = util.createContractAddress(address(1), 1n);
  const tryCall = (target, gas, data) =>
    "0x" + selector("Caller", "tryCall") + word(BigInt(target)) + word(gas) + word(96) + word(data.length / 2) + data.padEnd(Math.ceil(data.length / 64) * 64, "0");
  const seed = (name, price, endpoint) => {
    const head = [word(0xd1), word(2), word(256), word(1), word(3), word(price), word(3)];
    const first = text(name);
    return "0x" + selector("ModelsLayout", "seed") + head.join("") + word(256 + first.length / 2) + first + text(endpoint);
  };
  const authorization = util.eoaCode7702SignAuthorization(
    [util.intToBytes(CHAIN_ID), caller.bytes, new Uint8Array(0)],
    key(3),
  );
  nonces[3]++;

  const drafts = [
    send(1, { data: "0x" + artifacts.Caller.bytecode }),
    send(1, { data: "0x" + artifacts.ModelsLayout.bytecode }),
    send(2, { type: "legacy", to: address(4), value: 5n, gasLimit: 21_000n }),
    send(2, { type: "access", to: twin, accessList: [{ address: twin.toString(), storageKeys: ["0x" + word(0)] }], data: seed("a-name-of-exactly-32-characters.", 9, "http://short") }),
    send(2, { to: twin, data: seed("other", 2n ** 128n - 1n, "https://an-endpoint-that-fills-more-than-two-words.example:65535/v1") }),
    // LOG1, then LOG4 with data, as init code; then one that reverts with data, and one that is invalid.
    send(2, { data: "0x600160006000a1" + "7f" + "ab".repeat(32) + "60005260046003600260016020" + "6000a400" }),
    send(2, { data: "0x63deadbeef6000526004601cfd", gasLimit: 100_000n }),
    send(2, { data: "0xfe", gasLimit: 100_000n }),
    // Clears a slot it has just set in the same transaction, and one that an earlier transaction set.
    send(2, { data: "0x600160005560006000556001600155" + "00" }),
    // Precompiles through a contract: hash, modular power, pairing, BLS addition, P-256, each with too little gas once.
    send(4, { to: caller, data: tryCall(2, 100_000, "00ff") }),
    send(4, { to: caller, data: tryCall(5, 100_000, word(1) + word(1) + word(1) + "030205") }),
    send(4, { to: caller, data: tryCall(8, 100_000, "") }),
    send(4, { to: caller, data: tryCall(8, 44_999, "") }),
    send(4, { to: caller, data: tryCall(0x0b, 100_000, "00".repeat(256)) }),
    send(4, { to: caller, data: tryCall(0x100, 100_000, "00".repeat(160)) }),
    send(4, { to: caller, value: 12n, data: tryCall(BENEFICIARY, 0, "") }),
    // EIP-7702: account 3 runs Caller's code, in its own storage and with its own coin.
    send(4, { type: "set-code", to: address(3), value: 1n, authorizationList: [authorization], data: tryCall(2, 100_000, "00") }),
    send(1, { to: address(3), data: "0x" + selector("Caller", "counter") }),
    // Deployed code that is refused, calldata dearer than execution (EIP-7623), and gas that runs out.
    send(1, { data: "0x60ef60005360016000f3", gasLimit: 200_000n }),
    send(1, { to: address(2), data: "0x" + "01".repeat(3000) }),
    send(1, { data: "0x5b600056", gasLimit: 90_000n }),
  ];

  const make = { legacy: tx.createLegacyTx, access: tx.createAccessList2930Tx, "set-code": tx.createEOACode7702Tx };
  const transactions = [];
  const results = [];
  const receipts = new MerklePatriciaTrie();
  for (const [index, [from, fields]] of drafts.entries()) {
    const { type, ...data } = fields;
    if (type === "legacy" || type === "access") {
      data.gasPrice = data.maxFeePerGas;
      delete data.maxFeePerGas;
      delete data.maxPriorityFeePerGas;
    }
    const signed = (make[type] || tx.createFeeMarket1559Tx)(data, { common }).sign(key(from));
    const result = await runTx(vm, { tx: signed, block, blockGasUsed: results.length ? results.at(-1).cumulative : 0n });
    const encoded = encodeReceipt(result.receipt, signed.type);
    await receipts.put(RLP.encode(index), encoded);
    transactions.push(signed);
    results.push({ cumulative: result.receipt.cumulativeBlockGasUsed, result, encoded });
  }
  const gasUsed = results.at(-1).cumulative;
  const bloom = results.reduce((sum, { result }) => {
    result.receipt.bitvector.forEach((byte, place) => (sum[place] |= byte));
    return sum;
  }, new Uint8Array(256));
  const final = createBlock(
    {
      header: {
        ...header,
        parentHash: "0x" + "11".repeat(32),
        stateRoot: "0x" + "22".repeat(32),
        transactionsTrie: await genTransactionsTrieRoot(transactions),
        receiptTrie: receipts.root(),
        logsBloom: bloom,
        gasUsed,
        requestsHash: util.SHA256_NULL,
      },
    },
    { common, skipConsensusFormatValidation: true },
  );

  const accounts = {};
  for (const who of [address(1), address(2), address(3), address(4), caller, twin, util.createAddressFromString(BENEFICIARY)]) {
    const account = await vm.stateManager.getAccount(who);
    accounts[who.toString()] = { nonce: String(account.nonce), balance: String(account.balance), code_hash: util.bytesToHex(account.codeHash) };
  }
  const document = {
    made_with: { "@ethereumjs/vm": version("@ethereumjs/vm"), hardfork: "osaka" },
    transactions: transactions.map((signed) => util.bytesToHex(signed.serialize())),
    results: results.map(({ result, encoded }) => ({
      gas_used: String(result.totalGasSpent),
      created: result.createdAddress && !result.execResult.exceptionError ? result.createdAddress.toString() : null,
      output: util.bytesToHex(result.execResult.returnValue),
      receipt: util.bytesToHex(encoded),
    })),
    accounts,
    header: {
      gas_used: String(gasUsed),
      transactions_root: util.bytesToHex(final.header.transactionsTrie),
      receipts_root: util.bytesToHex(final.header.receiptTrie),
      parent_hash: util.bytesToHex(final.header.parentHash),
      state_root: util.bytesToHex(final.header.stateRoot),
      hash: util.bytesToHex(final.hash()),
    },
  };
  fs.writeFileSync(path.join(__dirname, "block.json"), JSON.stringify(document, null, 1) + "\n");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
