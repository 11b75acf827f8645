// Starts a fresh development node in memory, runs a command with its address in TACIT_URL, and stops it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

const [command, ...args] = process.argv.slice(2);
const node = spawn(process.env.TACIT_DEV_NODE, ["--port", "0"], { stdio: ["ignore", "pipe", "inherit"] });
node.on("error", (why) => { console.error(`cannot start the node: ${why.message}`); process.exit(1); });
let code = 1;
try {
  const [line] = await once(createInterface({ input: node.stdout }), "line");
  const client = spawn(command, args, { stdio: "inherit", env: { ...process.env, TACIT_URL: JSON.parse(line).url } });
  [code] = await once(client, "exit");
} finally {
  node.kill("SIGTERM");
}
process.exit(code ?? 1);
