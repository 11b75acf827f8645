#!/bin/sh
# Runs foreign clients against fresh development nodes: run.sh [viem] [ethers] [cast] [web3] [websocket] [differential] [published] [conformance] [proofs]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
env_dir=${TACIT_CLIENTS_ENV:-${XDG_CACHE_HOME:-$HOME/.cache}/tacit-clients}
[ $# -gt 0 ] || set -- viem ethers cast web3 websocket differential published conformance proofs

cd "$here"
cargo build --quiet -p tacit-node --example dev
built=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug
TACIT_DEV_NODE=$built/examples/dev
case " $* " in *" proofs "*)
  if [ -z "${TACIT_BIN:-}" ]; then cargo build --quiet -p tacit-cli; TACIT_BIN=$built/tacit; fi
  export TACIT_BIN
esac
export TACIT_DEV_NODE
# Not "npm ci": it refuses a lock file made where packages for other systems could not be seen.
[ -d node_modules/ajv ] || npm install --no-save --no-audit --no-fund --loglevel=error

python() {
  [ -x "$env_dir/bin/python" ] || python3 -m venv "$env_dir"
  "$env_dir/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt
  node node.mjs "$env_dir/bin/python" "$1"
}

for client in "$@"; do
  case $client in
    web3) python web3_client.py ;;
    websocket)
      node node.mjs node websocket.mjs
      python web3_websocket.py
      ;;
    published)
      # Scripts of these packages build tools that are not needed here.
      [ -d published/node_modules/solc ] || (cd published && npm install --no-save --ignore-scripts --legacy-peer-deps --no-audit --no-fund --loglevel=error)
      node node.mjs node published.mjs
      ;;
    *) node node.mjs node "$client.mjs" ;;
  esac
done
