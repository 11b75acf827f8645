"""Judges import, proofs and verification by networks that others made: one line of `docs/networks.md` for each.

python compare.py OUT --tacit ../../target/release/tacit [NAME...]

Imports each network that `prepare.py` wrote into OUT, answers its held-out rows with the integer graph, compares with onnxruntime, then
proves and verifies the first of them, plain and in zero knowledge. Prints JSON for each network and the table at the end.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np


def tacit(binary, *arguments):
    done = subprocess.run([binary, "--json", *map(str, arguments)], capture_output=True, text=True)
    return json.loads(done.stdout or "{}") if done.returncode == 0 else {"error": done.stderr.strip() or done.stdout.strip()}


def answers(binary, model, rows):
    """Values of the integer graph, a few rows at a time, as a trace holds every tensor of every row."""
    values = []
    with tempfile.TemporaryDirectory() as folder:
        for start in range(0, len(rows), 8):
            np.save(f"{folder}/rows.npy", rows[start:start + 8])
            result = tacit(binary, "run", model, "--input", f"{folder}/rows.npy")
            if "error" in result:
                sys.exit(result["error"])
            values += [answer.get("values") or answer["scores"] for answer in result["answers"]]
    return np.array(values)


def spelled(steps):
    """What a row of most likely characters spells: repeats are one, character 0 is none."""
    return [now for before, now in zip([-1, *steps], steps) if now != before and now != 0]


def measures(name, got, expected, labels):
    """Agreement on the task, whatever the network's last monotonous function: import may leave it out."""
    expected = expected.reshape(len(expected), -1)
    if name == "silero-vad":
        logits = np.log(expected / (1 - expected))
        found = got if got.min() < 0 or got.max() > 1 else np.log(np.clip(got, 1e-9, 1) / np.clip(1 - got, 1e-9, 1))
        return {"agreement": np.mean((found > 0) == (logits > 0))}
    if name == "basic-pitch":
        ours, theirs = got > 0.3, expected > 0.3
        return {"f1": 2 * np.sum(ours & theirs) / (ours.sum() + theirs.sum()), "cells": np.mean(ours == theirs),
                "mean_error": np.abs(got - expected).mean()}
    if name == "rapidocr-rec":
        ours, theirs = (values.reshape(len(values), 40, -1).argmax(2) for values in (got, expected))
        return {"steps": np.mean(ours == theirs), "lines": np.mean([spelled(a) == spelled(b) for a, b in zip(ours, theirs)])}
    right = {} if labels is None else {"float_score": np.mean(expected.argmax(1) == labels), "integer_score": np.mean(got.argmax(1) == labels)}
    return right | {"agreement": np.mean(got.argmax(1) == expected.argmax(1))}


def judged(binary, folder, count, folder_out):
    """Everything about one network."""
    rows, expected = np.load(folder / "held_out.npy")[:count], np.load(folder / "expected.npy")[:count]
    labels = np.load(folder / "labels.npy")[:count] if (folder / "labels.npy").exists() else None
    model, row = folder_out / f"{folder.name}.tacit", folder_out / "row.npy"
    np.save(row, rows[:1])
    given = [folder / "model.onnx", "--calibration", folder / "calibration.npy", "-o", model]
    if labels is not None:
        # Numbers as labels say that the network chooses between classes.
        np.save(folder_out / "rows.npy", rows[:2])
        np.save(folder_out / "labels.npy", labels[:2])
        given += ["--held-out", folder_out / "rows.npy", "--labels", folder_out / "labels.npy"]
    start = time.monotonic()
    report = tacit(binary, "model", "import", *given)
    if "error" in report:
        return report
    found = {key: report[key] for key in ("params", "macs")} | {"import_s": time.monotonic() - start, "rows": len(rows)}
    found |= measures(folder.name, answers(binary, model, rows), expected, labels)
    for kind in ("zk", "plain"):
        if kind == "plain":
            tacit(binary, "model", "import", *given, "--plain")
        proof = folder_out / "proof.json"
        proved = tacit(binary, "prove", model, "--input", row, "-o", proof)
        verified = proved if "error" in proved else tacit(binary, "verify", proof)
        if "error" in verified:
            return found | {f"{kind}_error": verified["error"]}
        found |= {f"{kind}_{key}": proved[key] for key in ("prove_cpu_ms", "proof_bytes", "memory_mib_max")}
        found[f"{kind}_verify_cpu_ms"] = verified["verify_cpu_ms"]
    return found


def line(name, found):
    """A line of the table."""
    task = " ".join(f"{key} {found[key]:.3f}" for key in ("float_score", "integer_score", "agreement", "f1", "steps", "lines") if key in found)
    cost = [f"{found[f'{kind}_prove_cpu_ms'] / 1000:.2f} s, {found[f'{kind}_verify_cpu_ms']:.0f} ms, {found[f'{kind}_proof_bytes'] // 1000} kB"
            if f"{kind}_proof_bytes" in found else found.get(f"{kind}_error", "") for kind in ("plain", "zk")]
    return f"| {name} | {found['params']:,} | {found['macs']:,} | {found['rows']} | {task} | {cost[0]} | {cost[1]} |"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--tacit", default="../../target/release/tacit")
    parser.add_argument("--rows", type=int, default=1 << 30)
    arguments = parser.parse_intermixed_args()
    lines = []
    for folder in sorted(path.parent for path in arguments.out.glob("*/expected.npy")):
        if arguments.names and folder.name not in arguments.names:
            continue
        with tempfile.TemporaryDirectory() as work:
            found = judged(arguments.tacit, folder, arguments.rows, pathlib.Path(work))
        print(json.dumps({"network": folder.name} | found, default=float), flush=True)
        if "error" not in found:
            lines.append(line(folder.name, found))
    print("| network | parameters | MACs | rows | task | plain: prove, verify, proof | zero knowledge |\n|---|---|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
