#!/bin/sh
# The page in Chromium: asks, watches, verifies, visits every view in both themes and on a phone's width. Pictures go to ${1:-pictures}.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
pictures=${1:-$here/pictures}
cd "$here"
if [ -z "${TACIT_BIN:-}" ]; then
  cargo build --quiet -p tacit-cli
  TACIT_BIN=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug/tacit
fi
export TACIT_BIN
[ -d node_modules/playwright-core ] || npm install --no-save --no-audit --no-fund --loglevel=error
node page.mjs "$pictures"
