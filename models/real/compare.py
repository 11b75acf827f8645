"""Imports each network that `prepare.py` wrote, answers its held-out rows with the integer graph, and compares with onnxruntime.

python compare.py OUT --tacit ../../target/release/tacit [NAME...]
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--tacit", default="../../target/release/tacit")
    parser.add_argument("--rows", type=int, default=1 << 30)
    arguments = parser.parse_args()
    for folder in sorted(path.parent for path in arguments.out.glob("*/expected.npy")):
        if arguments.names and folder.name not in arguments.names:
            continue
        model = folder / f"{folder.name}.tacit"
        report = tacit(arguments.tacit, "model", "import", folder / "model.onnx", "--calibration", folder / "calibration.npy", "-o", model)
        if "error" not in report:
            count = arguments.rows
            rows, expected = np.load(folder / "held_out.npy")[:count], np.load(folder / "expected.npy")[:count]
            labels = np.load(folder / "labels.npy")[:count] if (folder / "labels.npy").exists() else None
            report |= measures(folder.name, answers(arguments.tacit, model, rows), expected, labels) | {"rows": len(rows)}
        print(json.dumps({"network": folder.name} | report, default=float), flush=True)


if __name__ == "__main__":
    main()
