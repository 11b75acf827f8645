"""Trains the linear digits model and writes every file beside this script.

pip install scikit-learn==1.9.1 skl2onnx==1.20.0 onnx==1.23.2 numpy==2.4.6
python train.py
"""

import json
import pathlib

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

HERE = pathlib.Path(__file__).parent
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def regression(strength):
    return make_pipeline(MinMaxScaler(), LogisticRegression(C=strength, max_iter=10_000))


def chosen(rows, labels):
    """The strongest regularisation within one standard error of the best, by cross-validation on training rows."""
    strengths = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30]
    scores = np.array([cross_val_score(regression(strength), rows, labels, cv=5) for strength in strengths])
    means, errors = scores.mean(axis=1), scores.std(axis=1) / 5**0.5
    best = int(means.argmax())
    return next(s for s, mean in zip(strengths, means) if mean >= means[best] - errors[best])


def main():
    digits = load_digits()
    rows, held_rows, labels, held_labels = train_test_split(
        digits.data.astype(np.float32), digits.target, test_size=0.25, random_state=0)
    strength = chosen(rows, labels)
    model = regression(strength).fit(rows, labels)
    print(f"C {strength}, float accuracy on {len(held_rows)} held-out rows: {model.score(held_rows, held_labels):.4f}")

    onnx = to_onnx(model, rows[:1], options={"zipmap": False})
    onnx.opset_import.sort(key=lambda entry: entry.domain)
    (HERE / "model.onnx").write_bytes(onnx.SerializeToString())
    np.save(HERE / "calibration.npy", rows[:256].astype(np.uint8))
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
