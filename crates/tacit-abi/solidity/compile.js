// Compiles the interfaces, the fixtures and the contracts in examples/ with solc and writes fixtures/artifacts.json.
// Run from anywhere: `npm install solc@0.8 && node compile.js` (the committed file names the compiler used).
const fs = require("fs");
const path = require("path");
const solc = require("solc");

// Names are paths from the root of the repository, so that imports between folders resolve.
const root = path.join(__dirname, "../../..");
const here = "crates/tacit-abi/solidity";
const sources = {};
for (const name of ["IModule.sol", "IModels.sol", "IChannels.sol", "IReceipts.sol", "IProofs.sol", "IValidators.sol", "IStakes.sol", "IAsks.sol", "IAudits.sol", "IBeacons.sol", "IPolicies.sol", "ISubnets.sol", "fixtures/Layout.sol", "fixtures/Caller.sol"].map((name) => `${here}/${name}`).concat("examples/DiagnosisCover.sol")) {
  sources[name] = { content: fs.readFileSync(path.join(root, name), "utf8") };
}
const settings = {
  evmVersion: "prague",
  optimizer: { enabled: true, runs: 200 },
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: { "*": { "*": ["abi", "storageLayout", "evm.bytecode.object", "evm.methodIdentifiers"] } },
};
const output = JSON.parse(solc.compile(JSON.stringify({ language: "Solidity", sources, settings })));
const errors = (output.errors || []).filter((error) => error.severity === "error");
if (errors.length > 0) {
  console.error(errors.map((error) => error.formattedMessage).join("\n"));
  process.exit(1);
}
const artifacts = { compiler: solc.version(), contracts: {} };
for (const file of Object.values(output.contracts)) {
  for (const [name, contract] of Object.entries(file)) {
    artifacts.contracts[name] = {
      abi: contract.abi,
      methods: contract.evm.methodIdentifiers,
      bytecode: contract.evm.bytecode.object,
      storage: contract.storageLayout,
    };
  }
}
fs.writeFileSync(path.join(__dirname, "fixtures/artifacts.json"), JSON.stringify(artifacts, null, 1) + "\n");
