#!/usr/bin/env bash
# Our OpenAI interface beside LiteLLM's, before one and the same engine, in one run.
# Wants: a release build (`cargo build --release`), Python 3.10 or newer, and PyPI.
#   bench/door/run.sh [arguments of `tacit bench door`]
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${TMPDIR:-/tmp}/tacit-bench-door
engine=127.0.0.1:9180
port=9181

[ -x "$folder/bin/litellm" ] || python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --requirement bench/door/requirements.txt
cat >"$folder/config.yaml" <<YAML
model_list:
  - model_name: bytes
    litellm_params: {model: openai/bytes, api_base: "http://$engine/v1", api_key: none}
litellm_settings: {num_retries: 0, telemetry: false}
general_settings: {master_key: sk-bench-door}
YAML
# As its documentation advises for production: a process for each core, no debugging, JSON logs off.
LITELLM_MODE=PRODUCTION LITELLM_LOG=ERROR LITELLM_LOCAL_MODEL_COST_MAP=True \
  "$folder/bin/litellm" --config "$folder/config.yaml" --host 127.0.0.1 --port "$port" --num_workers "$(nproc)" \
  >"$folder/litellm.log" 2>&1 &
peer=$!
trap 'pkill -P "$peer" 2>/dev/null || true; kill "$peer" 2>/dev/null || true' EXIT
until curl --silent --fail --output /dev/null "http://127.0.0.1:$port/health/liveliness"; do
  kill -0 "$peer" || { tail "$folder/litellm.log" >&2; exit 1; }
  sleep 0.5
done
pids=()
for pid in "$peer" $(pgrep -P "$peer"); do pids+=(--beside-pid "$pid"); done

"${CARGO_TARGET_DIR:-target}/release/tacit" bench door --engine-listen "$engine" \
  --beside "http://127.0.0.1:$port/v1" --beside-key sk-bench-door "${pids[@]}" "$@"
