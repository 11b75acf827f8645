// Compiles the interfaces and fixtures with solc and writes fixtures/artifacts.json.
// Run from anywhere: `npm install solc@0.8 && node compile.js` (the committed file names the compiler used).
const fs = require("fs");
const path = require("path");
const solc = require("solc");

const sources = {};
for (const name of ["IModule.sol", "IModels.sol", "IChannels.sol", "IReceipts.sol", "fixtures/Layout.sol", "fixtures/Caller.sol"]) {
  sources[name] = { content: fs.readFileSync(path.join(__dirname, name), "utf8") };
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
