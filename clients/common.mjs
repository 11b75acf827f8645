// What the JavaScript clients share: the node's address, public keys, published bytecode, and a way to report.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const contract = (name) => {
  const { abi, bytecode, deployedBytecode } = require(`@openzeppelin/contracts/build/contracts/${name}.json`);
  return { abi, bytecode, deployedBytecode };
};

export const url = process.env.TACIT_URL;
export const mnemonic = "test test test test test test test test test test test junk";
export const Token = contract("ERC20PresetMinterPauser");
export const FixedToken = contract("ERC20PresetFixedSupply");

export const mail = {
  domain: (chainId) => ({ name: "Tacit", version: "1", chainId, verifyingContract: "0x00000000000000000000000000000000000000aa" }),
  types: { Mail: [{ name: "to", type: "address" }, { name: "amount", type: "uint128" }, { name: "text", type: "string" }] },
  message: { to: "0x00000000000000000000000000000000000000bb", amount: 5n, text: "for what was proved" },
};

export async function rpc(method, params = []) {
  const response = await fetch(url, {
    method: "POST", headers: { "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  });
  return response.json();
}

/** Runs checks in order, since each stands on the chain that those before left; prints one line for each. */
export async function report(client, checks) {
  let failed = 0;
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check();
      console.log(`ok   ${client}: ${name}`);
    } catch (why) {
      failed += 1;
      console.log(`FAIL ${client}: ${name}\n     ${String(why?.stack ?? why).split("\n").slice(0, 12).join("\n     ")}`);
    }
  }
  const total = Object.keys(checks).length;
  console.log(`${client}: ${total - failed} of ${total} passed`);
  process.exit(failed === 0 ? 0 : 1);
}
