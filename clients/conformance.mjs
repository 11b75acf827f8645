// Requests of ethereum/execution-apis against this node: what it answers must have the shape that the OpenRPC specification gives, and say
// what go-ethereum said wherever that does not depend on the chain. See execution-apis/README.md for where both come from.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import Ajv from "ajv/dist/2019.js";
import { load } from "js-yaml";
import { concat, encodeDeployData, encodeErrorResult, encodeFunctionData, pad, parseAbi, toHex } from "viem";
import { mnemonicToAccount } from "viem/accounts";
import { Token, mnemonic, rpc, url } from "./common.mjs";

const home = join(dirname(fileURLToPath(import.meta.url)), "execution-apis");
const documents = (folder) => readdirSync(join(home, folder)).map((file) => load(readFileSync(join(home, folder, file), "utf8")));
const components = { schemas: Object.assign({}, ...documents("schemas")) };
// An empty list is one of hashes and one of logs: "exactly one of" would refuse it.
components.schemas.FilterResults = { anyOf: components.schemas.FilterResults.oneOf };
// Like their checker, take what waits in the pool by its own schema: the method's has only mined transactions.
const WAITING = { $ref: "#/components/schemas/PendingTransactionInfo" };
const methods = new Map(["eth", "debug", "txpool"].flatMap(documents).flat().map((method) => [method.name, method]));
const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false });
const compiled = new Map();
const shape = (schema) => {
  if (!compiled.has(schema)) compiled.set(schema, ajv.compile({ components, ...schema }));
  return compiled.get(schema);
};

/** Methods that this node does not offer, and why; it must say so itself. */
const NOT_OFFERED = {
  eth_getProof: "the state root is no Merkle-Patricia trie",
  eth_getBlockAccessList: "of a later fork than this ledger's rules (EIP-7928)",
  debug_getRawBlockAccessList: "of a later fork than this ledger's rules (EIP-7928)",
  eth_config: "the rules have not changed yet: there is no schedule of forks",
  eth_fillTransaction: "wallets fill in what they sign",
  eth_sign: "the node holds no keys",
  eth_signTransaction: "the node holds no keys",
  eth_sendTransaction: "the node holds no keys",
};

/** Requests that cannot be made on this chain. */
const NOT_HERE = {
  "eth_getTransactionByHash/get-blob-tx": "no blobs on this ledger",
  "eth_getTransactionReceipt/get-blob-tx": "no blobs on this ledger",
  "eth_estimateGas/estimate-with-eip4844": "no blobs on this ledger",
  "eth_simulateV1/ethSimulate-blobs": "no blobs on this ledger",
};

/** Answers that are meant to differ from go-ethereum's, and why. Each must differ, or it is an error to list it. */
const DIFFERENT = {
  "eth_simulateV1/ethSimulate-overflow-nonce": "an account whose nonce cannot grow sends nothing (EIP-2681), validated or not",
  "eth_simulateV1/ethSimulate-empty-with-block-num-set-plus1": "an unknown block is -32001 here, as EIP-1898 recommends",
  "eth_simulateV1/ethSimulate-make-call-with-future-block": "an unknown block is -32001 here, as EIP-1898 recommends",
  "eth_simulateV1/ethSimulate-overflow-nonce-validation": "a nonce that cannot grow is -38011 here; go-ethereum calls it an internal error",
  "eth_simulateV1/ethSimulate-move-two-accounts-to-same-38023": "refused with the specification's -38023; go-ethereum lets it pass",
};

const results = new Map([...methods.keys()].map((name) => [name, { passed: 0, failed: [], left: [] }]));
const of = (name) => results.get(name);
const wrong = (check) => ajv.errorsText(check.errors, { separator: "; " }).slice(0, 400);

/** Asks, and checks what comes against the schema; gives the whole answer. */
async function ask(name, params, label, expectation = () => {}, schema = methods.get(name).result.schema) {
  const entry = of(name);
  let answer;
  try {
    answer = await rpc(name, params);
    if ("result" in answer) {
      const check = shape(schema);
      assert.ok(check(answer.result), `shape: ${wrong(check)}`);
    } else {
      assert.ok(Number.isInteger(answer.error?.code) && typeof answer.error.message === "string", `malformed error ${JSON.stringify(answer)}`);
    }
    await expectation(answer);
    entry.passed += 1;
  } catch (why) {
    const got = answer ? JSON.stringify(answer).slice(0, 300) : "";
    entry.failed.push(`${label}: ${String(why.message).split("\n").slice(0, 14).join("\n        ")}\n        ${got}`);
  }
  return answer;
}
const answered = (answer) => assert.ok("result" in answer, `refused: ${JSON.stringify(answer.error)}`);
const present = (answer) => { answered(answer); assert.notEqual(answer.result, null); };
const refused = (code) => (answer) => assert.equal(answer.error?.code, code);

// A chain as long as theirs, with every kind of transaction.
const HEIGHT = 0x36;
const chainId = Number((await rpc("eth_chainId")).result);
const [alice, bob, carol, dave] = [0, 1, 2, 3].map((addressIndex) => mnemonicToAccount(mnemonic, { addressIndex }));
const nonces = new Map();
async function signed(account, fields) {
  const nonce = fields.nonce ?? nonces.get(account.address) ?? 0;
  if (fields.nonce === undefined) nonces.set(account.address, nonce + 1);
  const price = fields.type === "legacy" || fields.type === "eip2930" ? { gasPrice: 3_000_000_000n } : { maxFeePerGas: 3_000_000_000n, maxPriorityFeePerGas: 1n };
  return account.signTransaction({ chainId, nonce, gas: 3_000_000n, ...price, ...fields });
}
async function send(account, fields) {
  const { result, error } = await rpc("eth_sendRawTransaction", [await signed(account, fields)]);
  assert.ok(result, JSON.stringify(error));
  return (await rpc("eth_getTransactionReceipt", [result])).result;
}
const deploy = async (runtime) => (await send(alice, { data: concat([`0x61${(runtime.length / 2 - 1).toString(16).padStart(4, "0")}80600a3d393df3`, runtime]) })).contractAddress;
const call = (functionName, args) => encodeFunctionData({ abi: Token.abi, functionName, args });
// The contracts that their requests name: one logs and stores, one returns what it knows of its block. Of the others only the answers are
// known, so these give the same: one returns ffee to two bytes and complains of others, one fails as its first byte says, after reading a slot.
const PANIC = encodeErrorResult({ abi: parseAbi(["error Panic(uint256)"]), errorName: "Panic", args: [1n] });
const COMPLAINT = encodeErrorResult({ abi: parseAbi(["error Error(string)"]), errorName: "Error", args: ["user error"] }).slice(0, 2 + 2 * 78); // unpadded, as theirs
const answering = await deploy(concat(["0x366002146011576012601c5f3960125ffd5b61ffee5f526002601ef3", toHex("wrong-calldatasize")]));
const failing = await deploy(concat(["0x6142ff54505f355f1a601657602460215f3960245ffd5b604e60455f39604e5ffd", PANIC, COMPLAINT]));
const emitter = await deploy("0x3680600080376000206000548082558060010160005560005263656d697460206000a2");
const environment = await deploy("0x60004381526020014681526020014181526020014881526020014481526020013281526020013481526020016000f3");
const logged = await send(alice, { to: emitter, data: "0x010203040506" });
const creation = await send(alice, { type: "legacy", data: encodeDeployData({ abi: Token.abi, bytecode: Token.bytecode, args: ["Work", "WRK"] }) });
const token = creation.contractAddress;
const accessList = [{ address: token, storageKeys: [toHex(2, { size: 32 })] }];
const plain = await send(alice, { type: "legacy", to: bob.address, value: 1n });
const listed = await send(alice, { type: "eip2930", to: token, data: call("mint", [bob.address, 5n]), accessList });
const dynamic = await send(alice, { to: token, data: call("mint", [carol.address, 5n]), accessList });
const authorization = await dave.signAuthorization({ chainId, contractAddress: environment, nonce: 0 });
nonces.set(dave.address, 1);
const delegating = await send(alice, { type: "eip7702", to: dave.address, authorizationList: [authorization] });
const failed = await send(bob, { to: token, data: call("transfer", [alice.address, 10n ** 30n]) });
assert.deepEqual([failed.status, logged.logs.length, delegating.type], ["0x0", 1, "0x4"]);
const height = Number((await rpc("eth_blockNumber")).result);
await rpc("anvil_mine", [toHex(HEIGHT - height)]);
const base = (await rpc("eth_getBlockByNumber", ["latest", false])).result;
assert.equal(Number(base.number), HEIGHT);
const genesis = (await rpc("eth_getBlockByNumber", ["0x0", false])).result;
const later = Number(base.timestamp) - 0x21c;

// What their requests mean here.
const HASHES = {
  "get-access-list": listed, "get-dynamic-fee": dynamic, "get-setcode-tx": delegating, "get-legacy-create": creation,
  "get-legacy-contract": creation, "get-legacy-input": creation, "get-legacy-tx": plain, "get-legacy-receipt": plain,
};
const ADDRESSES = {
  "0x7dcd17433742f4c0ca53122ab541d0ba67fc27df": emitter, "0x9344b07175800259691961298ca11c824e65032d": environment,
  "0x17e7eedce4ac02ef114a7ed9fe6e2f33feba1667": answering, "0x0ee3ab1371c93e7c0c281cc0c2107cdebc8b1930": failing,
  "0x0c2c51a0990aee1d73c1228de158688341557508": alice.address.toLowerCase(), "0xeda8645ba6948855e3b3cd596bbb07596d59c603": dave.address.toLowerCase(),
};
const TOPIC = "0x95b7276947f6331672b0c63eca28c1d39f25286d5e2793d6a487837ff1475ba0";
const isHash = (value) => typeof value === "string" && /^0x[0-9a-f]{64}$/.test(value) && !/^0x0{48}/.test(value);
/** Their request on this chain. */
async function localised(method, name, params) {
  if (method === "eth_sendRawTransaction") {
    const type = { "send-legacy-transaction": "legacy", "send-access-list-transaction": "eip2930" }[name] ?? "eip1559";
    return [await signed(bob, { type, to: token, data: call("approve", [alice.address, 1n]), ...(name.includes("access-list") && { accessList }) })];
  }
  const text = JSON.stringify(params).toLowerCase();
  const walk = (value, key) => {
    if (isHash(value)) {
      if (key === "topics") return value === TOPIC ? logged.logs[0].topics[1] : value;
      if (name === "trace-genesis") return genesis.hash;
      if (/Transaction(ByHash|Receipt)$|traceTransaction|getRawTransaction/.test(method)) return (HASHES[name] ?? logged).transactionHash;
      return key === "storage" ? value : logged.blockHash;
    }
    if (typeof value === "string") return ADDRESSES[value.toLowerCase()] ?? value;
    if (Array.isArray(value)) return value.map((inner) => walk(inner, key));
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([inner, at]) => [ADDRESSES[inner.toLowerCase()] ?? inner, walk(at, method === "eth_getStorageValues" ? "storage" : inner === "storageKeys" ? "storage" : inner)]));
    return value;
  };
  const local = params.map((value, index) => walk(value, method === "eth_getStorageAt" && index === 1 ? "storage" : undefined));
  // A nonce or a price that was right on their chain says nothing here.
  const [first] = local;
  if (["eth_call", "eth_estimateGas", "eth_createAccessList"].includes(method) && first.nonce) delete first.nonce;
  for (const field of ["gasPrice", "maxFeePerGas"]) if (first?.[field]) first[field] = toHex(3_000_000_000n);
  if (text.includes("0x14e46043e63d0e3cdcf2530519f4cfaf35058cb2")) first.from = alice.address;
  return local;
}

/** What a simulated block says that does not depend on the chain it is built on. */
const seen = (block, timeShift) => ({
  number: block.number, timestamp: Number(block.timestamp) + timeShift, gasUsed: block.gasUsed, miner: block.miner, mixHash: block.mixHash,
  logsBloom: block.logsBloom, baseFeePerGas: block.baseFeePerGas,
  transactions: block.transactions.map((transaction) => typeof transaction === "string" ? "hash" : {
    from: transaction.from, to: transaction.to, value: transaction.value, input: transaction.input, nonce: transaction.nonce, type: transaction.type,
  }),
  calls: block.calls.map(({ status, gasUsed, maxUsedGas, returnData, error, logs }) => ({
    status, gasUsed, maxUsedGas, returnData, error: error && { code: error.code, data: error.data },
    logs: (logs ?? []).map(({ address, topics, data, logIndex, transactionIndex }) => ({ address, topics, data, logIndex, transactionIndex })),
  })),
});
/** Members that are not compared, by request, and why. */
const THEIR_CHAIN = "depends on their chain";
const WARM = "overridden, a precompile is not warm any more, and where it moved to is; go-ethereum keeps the first set";
const NOT_COMPARED = {
  "ethSimulate-get-block-properties": [["returnData"], THEIR_CHAIN], "ethSimulate-blockhash-simple": [["returnData"], THEIR_CHAIN],
  "ethSimulate-blockhash-complex": [["returnData"], THEIR_CHAIN], "ethSimulate-blockhash-start-before-head": [["returnData"], THEIR_CHAIN],
  "ethSimulate-contract-calls-itself": [["returnData"], THEIR_CHAIN], "ethSimulate-overwrite-existing-contract": [["returnData"], THEIR_CHAIN],
  "ethSimulate-empty-validation": [["baseFeePerGas"], THEIR_CHAIN], "ethSimulate-fee-recipient-receiving-funds": [["baseFeePerGas", "returnData"], THEIR_CHAIN],
  "ethSimulate-empty-with-block-num-set-firstblock": [["timestamp", "baseFeePerGas"], THEIR_CHAIN],
  "ethSimulate-empty-with-block-num-set-minusone": [["timestamp"], THEIR_CHAIN],
  "ethSimulate-extcodehash-precompile": [["gasUsed", "maxUsedGas"], WARM], "ethSimulate-override-ecrecover": [["gasUsed", "maxUsedGas"], WARM],
  "ethSimulate-use-as-many-features-as-possible": [["logIndex", "returnData"], "logs of calls that failed are not counted here; hashes of their blocks"],
};
function simulated(name, theirs, ours) {
  if (theirs.error) return assert.equal(ours.error?.code, theirs.error.code, `theirs: ${JSON.stringify(theirs.error)}`);
  answered(ours);
  const [members] = NOT_COMPARED[name] ?? [[]];
  const strip = (blocks) => JSON.parse(JSON.stringify(blocks), (key, value) => members.includes(key) ? undefined : value);
  assert.deepEqual(strip(ours.result.map((block) => seen(block, 0))), strip(theirs.result.map((block) => seen(block, later))));
}

async function replay(method, name) {
  const lines = readFileSync(join(home, "tests", method, `${name}.io`), "utf8").split("\n");
  const requests = lines.filter((line) => line.startsWith(">> ")).map((line) => JSON.parse(line.slice(3)));
  const answers = lines.filter((line) => line.startsWith("<< ")).map((line) => JSON.parse(line.slice(3)));
  for (const [index, { params = [] }] of requests.entries()) {
    const theirs = answers[index];
    const label = `${method}/${name}`;
    if (NOT_HERE[label]) { of(method).left.push(NOT_HERE[label]); continue; }
    const local = method === "eth_simulateV1" ? shifted(params) : await localised(method, name, params);
    const expectation = (ours) => {
      if (DIFFERENT[label]) return assert.throws(() => compare(method, name, theirs, ours), undefined, "does not differ any more");
      compare(method, name, theirs, ours);
    };
    await ask(method, local, label, expectation);
  }
}
function compare(method, name, theirs, ours) {
  if (method === "eth_simulateV1") return simulated(name, theirs, ours);
  if (!theirs.error) {
    answered(ours);
    if (name === "call-contract") assert.equal(ours.result, theirs.result);
    return;
  }
  assert.ok(ours.error, `theirs: ${JSON.stringify(theirs.error)}`);
  // Which of two codes an absent thing has is not settled: -32000 there, -32001 (EIP-1474) here.
  const code = (error) => error.code === -32001 ? -32000 : error.code;
  assert.equal(code(ours.error), code(theirs.error), `theirs: ${JSON.stringify(theirs.error)}`);
  if (theirs.error.code === 3) assert.equal(ours.error.data, theirs.error.data);
}
/** The same times after this chain's last block as after theirs. */
function shifted(params) {
  const [payload, ...rest] = structuredClone(params);
  for (const { blockOverrides } of payload.blockStateCalls) if (blockOverrides?.time) blockOverrides.time = toHex(Number(blockOverrides.time) + later);
  return [payload, ...rest];
}

// 1. Their requests.
for (const method of readdirSync(join(home, "tests"))) {
  if (!methods.has(method) || NOT_OFFERED[method]) continue;
  // What they send changes the chain that the others ask about.
  if (method === "eth_sendRawTransaction") continue;
  for (const file of readdirSync(join(home, "tests", method))) await replay(method, file.replace(/\.io$/, ""));
}

// 2. What their requests do not reach here.
const blocks = [["eth_getBlockByNumber", ["earliest", "latest", "safe", "finalized", "pending", listed.blockNumber, "0xffff"]], ["eth_getBlockByHash", [dynamic.blockHash, delegating.blockHash]]];
for (const [method, named] of blocks) for (const block of named) for (const full of [true, false]) await ask(method, [block, full], `${block} ${full}`, answered);
const receipts = [creation, plain, listed, dynamic, delegating, failed, logged];
for (const receipt of receipts) {
  const { transactionHash: hash, blockHash, blockNumber, transactionIndex } = receipt;
  await ask("eth_getTransactionByHash", [hash], "own", present);
  await ask("eth_getTransactionReceipt", [hash], "own", present);
  await ask("eth_getTransactionByBlockHashAndIndex", [blockHash, transactionIndex], "own", present);
  await ask("eth_getTransactionByBlockNumberAndIndex", [blockNumber, transactionIndex], "own", present);
  await ask("eth_getBlockReceipts", [blockHash], "own", present);
  await ask("eth_getBlockTransactionCountByHash", [blockHash], "own", present);
  await ask("eth_getBlockTransactionCountByNumber", [blockNumber], "own", present);
  for (const what of ["Header", "Block", "Receipts"]) await ask(`debug_getRaw${what}`, [blockNumber], "own", present);
  await ask("debug_getRawTransaction", [hash], "own", present);
  await ask("debug_traceTransaction", [hash], "own", present);
  await ask("debug_traceTransaction", [hash, { tracer: "callTracer" }], "own", present);
  await ask("debug_traceBlockByHash", [blockHash, { enableMemory: true, enableReturnData: true }], "own", present);
  await ask("debug_traceBlockByNumber", [blockNumber], "own", present);
}
await ask("eth_getTransactionByBlockNumberAndIndex", ["latest", "0x7"], "absent", (answer) => assert.equal(answer.result, null));
await ask("eth_getBlockReceipts", ["latest"], "own", answered);
for (const block of ["latest", "earliest", "pending", listed.blockNumber, { blockHash: listed.blockHash }]) {
  await ask("eth_getBalance", [alice.address, block], "own", answered);
  await ask("eth_getTransactionCount", [alice.address, block], "own", answered);
  await ask("eth_getCode", [token, block], "own", answered);
  await ask("eth_getStorageAt", [token, "0x2", block], "own", answered);
  await ask("eth_getStorageValues", [{ [token]: [pad("0x2"), pad("0x3")], [alice.address]: ["0x0"] }, block], "own", answered);
  await ask("eth_call", [{ to: token, input: call("decimals", []) }, block], "own");
}
const reverting = { from: bob.address, to: token, input: call("transfer", [alice.address, 10n ** 30n]) };
for (const method of ["eth_call", "eth_estimateGas"]) await ask(method, [reverting], "own", (answer) => { refused(3)(answer); assert.match(answer.error.data, /^0x08c379a0/); });
await ask("eth_estimateGas", [{ from: bob.address, to: carol.address, value: "0x1" }], "own", (answer) => assert.equal(answer.result, "0x5208"));
await ask("eth_createAccessList", [{ from: alice.address, to: token, input: call("mint", [bob.address, 1n]) }, "latest"], "own", (answer) => assert.ok(answer.result.accessList.length > 0));
await ask("eth_createAccessList", [reverting, "latest"], "own", (answer) => assert.equal(typeof answer.result.error, "string"));
const everything = { fromBlock: "0x0", toBlock: "latest" };
for (const filter of [everything, { ...everything, address: token }, { ...everything, address: [token, emitter], topics: [null, []] }, { blockHash: logged.blockHash }]) {
  await ask("eth_getLogs", [filter], "own", (answer) => assert.ok(answer.result.length > 0));
}
for (const [count, percentiles] of [["0x5", [10, 50, 90]], ["0x36", null], ["0x1", []]]) await ask("eth_feeHistory", [count, "latest", ...(percentiles ? [percentiles] : [])], "own", answered);
for (const method of ["eth_chainId", "eth_syncing", "eth_coinbase", "eth_accounts", "eth_blockNumber", "eth_capabilities", "net_version", "eth_gasPrice", "eth_baseFee", "eth_blobBaseFee", "eth_maxPriorityFeePerGas", "debug_getBadBlocks", "txpool_status", "txpool_content"]) {
  await ask(method, [], "own", answered);
}
const transfer = { from: alice.address, to: bob.address, value: "0x1" };
for (const validation of [false, true]) for (const returnFullTransactions of [false, true]) {
  const fees = validation ? { maxFeePerGas: "0x3b9aca00" } : {};
  const payload = { blockStateCalls: [{ calls: [{ ...transfer, ...fees }, { ...reverting, ...fees }, { from: alice.address, input: "0xfe", gas: "0x30000", ...fees }] }], traceTransfers: true, validation, returnFullTransactions };
  await ask("eth_simulateV1", [payload], "own", (answer) => assert.deepEqual(answer.result[0].calls.map(({ status, error }) => [status, error?.code]), [["0x1", undefined], ["0x0", 3], ["0x0", -32015]]));
}

// 3. Filters, and what waits in the pool.
const filters = {};
for (const [method, params] of [["eth_newFilter", [{ address: token }]], ["eth_newBlockFilter", []], ["eth_newPendingTransactionFilter", []]]) filters[method] = (await ask(method, params, "own", present)).result;
for (const name of ["send-legacy-transaction", "send-access-list-transaction", "send-dynamic-fee-transaction", "send-dynamic-fee-access-list-transaction"]) await replay("eth_sendRawTransaction", name);
for (const id of Object.values(filters)) await ask("eth_getFilterChanges", [id], "own", (answer) => assert.ok(answer.result.length > 0));
await ask("eth_getFilterLogs", [filters.eth_newFilter], "own", answered);
for (const id of [...Object.values(filters), "0xffff"]) await ask("eth_uninstallFilter", [id], "own", (answer) => assert.equal(answer.result, id !== "0xffff"));
await ask("eth_getFilterChanges", [filters.eth_newFilter], "uninstalled", (answer) => assert.ok(answer.error));
await rpc("evm_setAutomine", [false]);
await ask("eth_sendRawTransaction", [await signed(carol, { to: bob.address, value: 1n, accessList })], "own", present);
await ask("eth_sendRawTransaction", [await signed(carol, { nonce: 7, type: "legacy", to: bob.address, value: 1n })], "own", present);
await ask("eth_sendRawTransaction", ["0x02"], "malformed", (answer) => assert.ok(answer.error));
await ask("txpool_status", [], "own", (answer) => assert.deepEqual(answer.result, { pending: "0x1", queued: "0x1" }));
await ask("txpool_content", [], "own", (answer) => assert.deepEqual(Object.values(answer.result).map((side) => Object.values(side).map(Object.keys)), [[["0"]], [["7"]]]));
await ask("txpool_contentFrom", [carol.address], "own", (answer) => assert.deepEqual(Object.values(answer.result).map(Object.keys), [["0"], ["7"]]));
await ask("txpool_contentFrom", [alice.address], "own", (answer) => assert.deepEqual(answer.result, { pending: {}, queued: {} }));
await ask("eth_getBlockByNumber", ["pending", true], "own", (answer) => assert.equal(answer.result.transactions.length, 1));
await ask("eth_getTransactionByHash", [(await rpc("eth_getBlockByNumber", ["pending", false])).result.transactions[0]], "waiting", present, WAITING);

// 4. What is said not to be offered is not.
for (const [method, why] of Object.entries(NOT_OFFERED)) {
  const { error } = await rpc(method, []);
  of(method).left.push(why);
  if (![-32601, -32004].includes(error?.code)) of(method).failed.push(`is offered, or does not say that it is not: ${JSON.stringify(error)}`);
}

const width = Math.max(...[...methods.keys()].map((name) => name.length));
const verdict = (name, { passed, failed }) => failed.length > 0 ? "FAILED" : NOT_OFFERED[name] ? "not offered" : passed > 0 ? "passed" : "NOT ASKED";
let bad = 0;
console.log(`${"method".padEnd(width)}  verdict      requests  left out`);
for (const [name, entry] of results) {
  const said = verdict(name, entry);
  if (said === "FAILED" || said === "NOT ASKED") bad += 1;
  const counts = `${entry.passed}/${entry.passed + entry.failed.length}`;
  const left = [...new Set(entry.left)].map((why) => NOT_OFFERED[name] ? why : `${entry.left.filter((other) => other === why).length}: ${why}`);
  console.log(`${name.padEnd(width)}  ${said.padEnd(11)}  ${(NOT_OFFERED[name] ? "" : counts).padEnd(8)}  ${left.join("; ")}`.trimEnd());
}
for (const [name, { failed }] of results) for (const why of failed) console.log(`\nFAIL ${name}: ${why}`);
console.log("\nmeant to differ from go-ethereum:");
for (const [name, why] of Object.entries(DIFFERENT)) console.log(`  ${name}: ${why}`);
console.log("not compared with go-ethereum:");
for (const [name, [members, why]] of Object.entries(NOT_COMPARED)) console.log(`  ${members.join(" and ")} of ${name}: ${why}`);
const passed = [...results].filter(([name, entry]) => verdict(name, entry) === "passed").length;
console.log(`conformance: ${passed} of ${methods.size - Object.keys(NOT_OFFERED).length} offered methods passed, ${Object.keys(NOT_OFFERED).length} not offered (${url})`);
process.exit(bad === 0 ? 0 : 1);
