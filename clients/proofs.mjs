// A proof made by the `tacit` command, brought to the ledger by viem: examples/DiagnosisCover.sol pays for it once.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  BaseError, ContractFunctionRevertedError, createPublicClient, createWalletClient, defineChain, getContractAddress, http, keccak256, parseEther,
  parseEventLogs, parseSignature, toHex,
} from "viem";
import { mnemonicToAccount } from "viem/accounts";
import { mnemonic, report, rpc, url } from "./common.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const { contracts } = JSON.parse(readFileSync(join(root, "crates/tacit-abi/solidity/fixtures/artifacts.json")));
const proofs = { address: "0x7ac1700000000000000000000000000000000004", abi: contracts.IProofs.abi };
// Errors of the module pass through the contract.
const coverAbi = [...contracts.DiagnosisCover.abi, ...contracts.IProofs.abi.filter((entry) => entry.type === "error")];

const chainId = Number((await rpc("eth_chainId")).result);
const chain = defineChain({
  id: chainId, name: "Tacit", nativeCurrency: { name: "Tacit", symbol: "TACIT", decimals: 18 }, rpcUrls: { default: { http: [url] } },
});
const [insurer, insured, laboratory] = [0, 1, 2].map((addressIndex) => mnemonicToAccount(mnemonic, { addressIndex }));
const options = { chain, transport: http(url), pollingInterval: 50, cacheTime: 0 };
const client = createPublicClient(options);
const wallet = createWalletClient({ ...options, account: insurer });
const mined = (hash) => client.waitForTransactionReceipt({ hash });
const succeeded = async (hash) => {
  const receipt = await mined(hash);
  assert.equal(receipt.status, "success");
  return receipt;
};
const errorOf = (error) => error instanceof BaseError && error.walk((inner) => inner instanceof ContractFunctionRevertedError)?.data;

const folder = mkdtempSync(join(tmpdir(), "tacit-proofs-"));
const tacit = (...args) => execFileSync(process.env.TACIT_BIN, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
const model = join(root, "models/breast-cancer");
const ask = (sample) => {
  tacit("prove", join(folder, "model.tacit"), "--input", join(model, `samples/${sample}.json`), "-o", join(folder, "proof.json"));
  const file = JSON.parse(readFileSync(join(folder, "proof.json")));
  const bytes = (text) => toHex(Buffer.from(text, "base64"));
  return {
    id: file.model_id, graph: bytes(file.graph), root: bytes(file.weight_root), proof: bytes(file.proof),
    inputs: file.inputs.flat().map(BigInt), outputs: file.outputs.flat(),
  };
};
let answer, cover, signature;

await report("proofs", {
  "a proof is made": async () => {
    tacit("model", "import", join(model, "model.onnx"), "--calibration", join(model, "calibration.npy"), "-o", join(folder, "model.tacit"));
    answer = ask("malignant");
    assert.equal(answer.inputs.length, 30);
  },

  "the model's graph is put on the ledger as code": async () => {
    const { request, result: part } = await client.simulateContract({ ...proofs, functionName: "store", args: [answer.graph], account: insurer });
    await succeeded(await wallet.writeContract(request));
    const code = await client.getCode({ address: getContractAddress({ opcode: "CREATE2", from: proofs.address, salt: toHex(0, { size: 32 }), bytecodeHash: part }) });
    assert.equal(code, `0x00${answer.graph.slice(2)}`);
    assert.equal(keccak256(code), part);
    const receipt = await succeeded(await wallet.writeContract({ ...proofs, functionName: "register", args: [[part], answer.root] }));
    const [event] = parseEventLogs({ abi: proofs.abi, logs: receipt.logs, eventName: "Registered" });
    assert.equal(event.args.modelId, answer.id);
    const described = await client.readContract({ ...proofs, functionName: "describe", args: [answer.id] });
    assert.deepEqual([described.features, described.outputs, described.decoder, described.labels], [30, 1, 1, ["benign", "malignant"]]);
  },

  "the module answers, and says what it costs": async () => {
    const args = [answer.id, answer.inputs, answer.outputs, answer.proof];
    assert.deepEqual(await client.readContract({ ...proofs, functionName: "answer", args }), [1]);
    const said = await client.readContract({ ...proofs, functionName: "verificationGas", args: [answer.id, 1, (answer.proof.length - 2) / 2] });
    const estimate = await client.estimateContractGas({ ...proofs, functionName: "verify", args, account: insurer });
    assert.ok(estimate > said, `estimate ${estimate}, verification ${said}`);
    console.log(`     verification ${said} gas, whole transaction about ${estimate}, proof ${(answer.proof.length - 2) / 2} bytes`);
  },

  "a cover is made": async () => {
    const { labels } = await client.readContract({ ...proofs, functionName: "describe", args: [answer.id] });
    const { timestamp } = await client.getBlock();
    const receipt = await succeeded(await wallet.deployContract({
      abi: coverAbi, bytecode: `0x${contracts.DiagnosisCover.bytecode}`, value: parseEther("5"),
      args: [answer.id, labels[1], laboratory.address, insured.address, timestamp + 3600n],
    }));
    cover = { address: receipt.contractAddress, abi: coverAbi };
    const hash = await client.readContract({ ...cover, functionName: "readingHash", args: [answer.inputs] });
    signature = parseSignature(await laboratory.sign({ hash }));
  },

  "a changed proof is refused with the check's name": async () => {
    const digit = answer.proof[3000] === "0" ? "1" : "0";
    const changed = answer.proof.slice(0, 3000) + digit + answer.proof.slice(3001);
    const args = [answer.inputs, answer.outputs, changed, Number(signature.v), signature.r, signature.s];
    await assert.rejects(client.simulateContract({ ...cover, functionName: "claim", args, account: insured }), (error) => {
      const data = errorOf(error);
      return data?.errorName === "Rejected" && /^[A-Za-z]+$/.test(data.args[0]);
    });
  },

  "a claim is paid, once": async () => {
    const args = [answer.inputs, answer.outputs, answer.proof, Number(signature.v), signature.r, signature.s];
    const before = await client.getBalance({ address: insured.address });
    const receipt = await succeeded(await wallet.writeContract({ ...cover, functionName: "claim", args }));
    assert.equal(await client.getBalance({ address: insured.address }), before + parseEther("5"));
    assert.equal(parseEventLogs({ abi: coverAbi, logs: receipt.logs, eventName: "Paid" })[0].args.amount, parseEther("5"));
    console.log(`     claim used ${receipt.gasUsed} gas`);
    await assert.rejects(client.simulateContract({ ...cover, functionName: "claim", args, account: insured }), (error) => errorOf(error)?.errorName === "Closed");
  },
}).finally(() => rmSync(folder, { recursive: true, force: true }));
