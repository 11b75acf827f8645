// Writes proofs.json beside this file: proofs made after specs/0007-light.md with signatures, hashes and tries that are not ours.
//
//     npm install @noble/curves@2 @noble/hashes@2 @ethereumjs/mpt@10 @ethereumjs/rlp@10 && node make.mjs
//
// One block of 20 transactions, of which number 17 emits an event; one child of it. Keys are the numbers 1, 2, 3 ...
import { writeFileSync } from "node:fs";
import { bls12_381 } from "@noble/curves/bls12-381.js";
import { ed25519 } from "@noble/curves/ed25519.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { createMPT, createMerkleProof } from "@ethereumjs/mpt";
import { RLP } from "@ethereumjs/rlp";

const CHAIN_ID = 1337;
const GENESIS = new Uint8Array(32).fill(0x67);
const fill = (byte, length) => new Uint8Array(length).fill(byte);
const hex = (bytes) => "0x" + bytesToHex(bytes);
const u64 = (value) => hexToBytes(BigInt(value).toString(16).padStart(16, "0"));
const varint = (value) => {
  const bytes = [];
  for (let rest = BigInt(value); ; rest >>= 7n) {
    const low = Number(rest & 0x7fn);
    if (rest < 0x80n) return Uint8Array.from([...bytes, low]);
    bytes.push(low | 0x80);
  }
};
const signed = (namespace, message) => concatBytes(varint(namespace.length), namespace, message);

// One event of one contract, in transaction 17.
const log = [fill(0xcc, 20), [fill(0x01, 32), fill(0x02, 32)], utf8ToBytes("tacit")];
const bloom = (logs) => {
  const bits = new Uint8Array(256);
  for (const item of logs.flatMap(([address, topics]) => [address, ...topics])) {
    const hash = keccak_256(item);
    for (const at of [0, 2, 4]) {
      const bit = ((hash[at] << 8) | hash[at + 1]) & 2047;
      bits[255 - (bit >> 3)] |= 1 << (bit & 7);
    }
  }
  return bits;
};
const receipt = (i) => {
  const logs = i === 17 ? [log] : [];
  const body = RLP.encode([i % 3 === 1 ? new Uint8Array() : 1, 21000 * (i + 1), bloom(logs), logs]);
  return i % 2 === 0 ? body : concatBytes(Uint8Array.of(2), body);
};
// Any bytes will do: a light client reads no transaction.
const transaction = (i) => concatBytes(Uint8Array.of(2), RLP.encode([CHAIN_ID, i, 1, 1000, 21000, fill(0xaa, 20), 0, fill(i, 68)]));

const trie = async (values) => {
  const tree = await createMPT({});
  for (const [i, value] of values.entries()) await tree.put(RLP.encode(i), value);
  return tree;
};
const path = async (tree, i) => (await createMerkleProof(tree, RLP.encode(i))).slice(0, -1);

const header = (number, parent, transactionsRoot, receiptsRoot, logs) => [
  parent, fill(0x1d, 32), fill(0xfe, 20), fill(0x57, 32), transactionsRoot, receiptsRoot, bloom(logs), 0, number,
  60000000, 420000, 1800000000 + number, fill(0xee, 32), fill(0, 32), fill(0, 8), 1000, fill(0x11, 32), 0, 0, fill(0, 32),
  fill(0x22, 32),
];

const indices = Array.from({ length: 20 }, (_, i) => i);
const receipts = await trie(indices.map(receipt));
const transactions = await trie(indices.map(transaction));
const block = header(300, fill(0x99, 32), transactions.root(), receipts.root(), [log]);
const child = header(301, keccak_256(RLP.encode(block)), fill(0x44, 32), fill(0x45, 32), []);

// The group: its secret is 7.
const bls = bls12_381.shortSignatures;
const secret = fill(0, 32);
secret[31] = 7;
const group = bls12_381.G2.Point.BASE.multiply(7n).toBytes(true);
const threshold = (header) => {
  const namespace = concatBytes(sha256(concatBytes(utf8ToBytes("tacit/certificate/1"), u64(CHAIN_ID), GENESIS)), utf8ToBytes("_AGG_ACK"));
  const message = concatBytes(varint(header[8]), keccak_256(RLP.encode(header)));
  const point = bls.hash(signed(namespace, message), "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_");
  return bls.Signature.toBytes(bls.sign(point, secret));
};

// The validators, in order of their public keys: 4, of whom all but the second vote.
const validators = [1, 2, 3, 4]
  .map((seed) => ({ seed: fill(seed, 32), key: ed25519.getPublicKey(fill(seed, 32)) }))
  .sort((a, b) => Buffer.compare(a.key, b.key));
// What votes are bound to: a hash of a network's whole genesis, so any 32 bytes do here.
const NAMESPACE = sha256(concatBytes(utf8ToBytes("tacit/consensus/1"), u64(CHAIN_ID), GENESIS, ...validators.map(({ key }) => key)));
const votes = (header) => {
  const namespace = concatBytes(NAMESPACE, utf8ToBytes("_FINALIZE"));
  const message = concatBytes(varint(0), varint(305), varint(304), keccak_256(RLP.encode(header)));
  const voters = validators.filter((_, i) => i !== 1);
  return [0, 305, 304, Uint8Array.of(0b1101), voters.map(({ seed }) => ed25519.sign(signed(namespace, message), seed))];
};

const prove = async (headers, certificate, i, named) => {
  const logs = i === 17 ? [log] : [];
  const body = [i % 2 === 0 ? 0 : 2, i % 3 === 1 ? 0 : 1, 21000 * (i + 1), logs];
  const parts = [[headers, certificate], i, [body, await path(receipts, i)]];
  if (named) parts.push([transaction(i), await path(transactions, i)]);
  return hex(concatBytes(Uint8Array.of(1), RLP.encode(parts)));
};

writeFileSync(new URL("proofs.json", import.meta.url), JSON.stringify({
  chain_id: CHAIN_ID,
  genesis: hex(GENESIS),
  namespace: hex(NAMESPACE),
  group: hex(group),
  validators: validators.map(({ key }) => hex(key)).reverse(),
  block: { number: 300, hash: hex(keccak_256(RLP.encode(block))), timestamp: 1800000300 },
  log: { address: hex(log[0]), topics: log[1].map(hex), data: hex(log[2]) },
  transaction_17: hex(keccak_256(transaction(17))),
  proofs: {
    threshold_17_named: await prove([block], threshold(block), 17, true),
    votes_17: await prove([block], votes(block), 17, false),
    threshold_of_child_0_named: await prove([block, child], threshold(child), 0, true),
    votes_of_child_4: await prove([block, child], votes(child), 4, false),
  },
}, null, 2) + "\n");
