// Makes semaphore-proof.json: a group, and proofs of membership by the project's own prover and ceremony's keys. Run it with these packages
// beside those of package.json (the keys are 450 MB, which is why what comes out is kept):
//   npm install --no-save @semaphore-protocol/{identity,group,proof}@4.14.3 @zk-kit/semaphore-artifacts@4.13.0
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { Group } from "@semaphore-protocol/group";
import { Identity } from "@semaphore-protocol/identity";
import { generateProof, verifyProof } from "@semaphore-protocol/proof";

const artifacts = dirname(createRequire(import.meta.url).resolve("@zk-kit/semaphore-artifacts/package.json"));
const identities = Array.from({ length: 5 }, (_, index) => new Identity(`member ${index}`));
const group = new Group(identities.map(({ commitment }) => commitment));
const proofs = [];
for (const [member, message, scope] of [[1, 7n, 42n], [3, 2n ** 200n, 42n]]) {
  const depth = group.depth;
  const files = { wasm: join(artifacts, `semaphore-${depth}.wasm`), zkey: join(artifacts, `semaphore-${depth}.zkey`) };
  const proof = await generateProof(identities[member], group, message, scope, depth, files);
  if (!(await verifyProof(proof))) throw new Error("a proof that its own library refuses");
  proofs.push(proof);
}
const told = { members: group.members.map(String), root: String(group.root), proofs };
writeFileSync(new URL("semaphore-proof.json", import.meta.url), `${JSON.stringify(told, null, 1)}\n`);
process.exit(0);
