"""Trains the linear breast cancer model and writes every file beside this script.

pip install scikit-learn==1.9.1 skl2onnx==1.20.0 onnx==1.23.2 numpy==2.4.6
python train.py
"""

import json
import pathlib

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = pathlib.Path(__file__).parent


def write(name, value):
    (HERE / name).write_text(json.dumps(value, separators=(",", ":")) + "\n")


def regression(strength):
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=10_000))


def chosen(rows, labels):
    """The strongest regularisation within one standard error of the best, by cross-validation on training rows."""
    strengths = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30]
    scores = np.array([cross_val_score(regression(strength), rows, labels, cv=5) for strength in strengths])
    means, errors = scores.mean(axis=1), scores.std(axis=1) / 5**0.5
    best = int(means.argmax())
    return next(s for s, mean in zip(strengths, means) if mean >= means[best] - errors[best])


def calibration(rows):
    """Rows with the ends of every column, and others up to 256."""
    ends = np.concatenate([rows.argmin(axis=0), rows.argmax(axis=0)])
    _, first = np.unique(np.concatenate([ends, np.arange(len(rows))]), return_index=True)
    order = np.concatenate([ends, np.arange(len(rows))])[np.sort(first)]
    return rows[order[:256]]


def main():
    data = load_breast_cancer()
    rows, held_rows, labels, held_labels = train_test_split(
        data.data.astype(np.float32), data.target_names[data.target], test_size=0.25, random_state=0)
    strength = chosen(rows, labels)
    model = regression(strength).fit(rows, labels)
    print(f"C {strength}, float accuracy on {len(held_rows)} held-out rows: {model.score(held_rows, held_labels):.4f}")

    onnx = to_onnx(model, rows[:1], options={"zipmap": False})
    onnx.opset_import.sort(key=lambda entry: entry.domain)
    (HERE / "model.onnx").write_bytes(onnx.SerializeToString())
    np.save(HERE / "calibration.npy", calibration(rows))
    decimals = [[float(str(value)) for value in row] for row in held_rows]
    write("held_out.json", {"rows": decimals, "labels": list(held_labels)})
    names = [str(name) for name in data.feature_names]
    write("features.json", names)

    expected, sure, right = {}, model.decision_function(held_rows), model.predict(held_rows)
    for label in model.classes_:
        # The middle by certainty of those it gets right, as an ordinary case.
        kind = [row for row in np.argsort(sure) if held_labels[row] == label == right[row]]
        row = dict(zip(names, decimals[kind[len(kind) // 2]]))
        (HERE / "samples" / f"{label}.json").write_text(json.dumps(row, indent=1) + "\n")
        expected[f"{label}.json"] = str(label)
    write("samples/expected.json", expected)


main()
