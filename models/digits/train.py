"""Trains the digits model and writes every file beside this script.

pip install scikit-learn==1.9.1 skl2onnx==1.20.0 onnx==1.23.2 numpy==2.4.6
python train.py
"""

import json
import pathlib

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

HERE = pathlib.Path(__file__).parent
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def shifted(rows):
    """The images, and each of them moved by one pixel up, down, left and right."""
    images = np.pad(rows.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    windows = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)]
    return np.concatenate([images[:, y:y + 8, x:x + 8].reshape(-1, 64) for y, x in windows])


def main():
    digits = load_digits()
    rows, held_rows, labels, held_labels = train_test_split(
        digits.data.astype(np.float32), digits.target, test_size=360, random_state=0, stratify=digits.target)
    network = MLPClassifier((64, 32), alpha=0.1, max_iter=200, random_state=0)
    model = make_pipeline(MinMaxScaler(), network).fit(shifted(rows), np.tile(labels, 5))
    print(f"float accuracy on {len(held_rows)} held-out rows: {model.score(held_rows, held_labels):.4f}")

    onnx = to_onnx(model, rows[:1], options={"zipmap": False})
    (HERE / "model.onnx").write_bytes(onnx.SerializeToString())
    np.save(HERE / "calibration.npy", shifted(rows)[::28][:256])
    held = {"rows": held_rows.astype(int).tolist(), "labels": [str(label) for label in held_labels]}
    (HERE / "held_out.json").write_text(json.dumps(held, separators=(",", ":")) + "\n")

    expected, sure = {}, model.predict_proba(held_rows)
    for digit, name in enumerate(NAMES):
        best = int(np.argmax(np.where(held_labels == digit, sure[:, digit], 0)))
        sample = {"shape": [64], "data": held_rows[best].astype(int).tolist()}
        (HERE / "samples" / f"{name}.json").write_text(json.dumps(sample) + "\n")
        expected[f"{name}.json"] = str(digit)
    (HERE / "samples" / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


main()
