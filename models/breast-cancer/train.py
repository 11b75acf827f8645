"""Trains the breast cancer model and writes every file beside this script.

pip install scikit-learn==1.9.1 skl2onnx==1.20.0 onnx==1.23.2 numpy==2.4.6
python train.py
"""

import json
import pathlib

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = pathlib.Path(__file__).parent


def write(name, value):
    (HERE / name).write_text(json.dumps(value, separators=(",", ":")) + "\n")


def main():
    data = load_breast_cancer()
    rows, held_rows, labels, held_labels = train_test_split(
        data.data.astype(np.float32), data.target_names[data.target], test_size=143, random_state=0,
        stratify=data.target)
    network = MLPClassifier((16,), alpha=1.0, max_iter=1000, random_state=0)
    model = make_pipeline(StandardScaler(), network).fit(rows, labels)
    print(f"float accuracy on {len(held_rows)} held-out rows: {model.score(held_rows, held_labels):.4f}")

    onnx = to_onnx(model, rows[:1], options={"zipmap": False})
    (HERE / "model.onnx").write_bytes(onnx.SerializeToString())
    np.save(HERE / "calibration.npy", rows[:256])
    decimals = [[float(str(value)) for value in row] for row in held_rows]
    write("held_out.json", {"rows": decimals, "labels": list(held_labels)})
    write("features.json", [str(name) for name in data.feature_names])

    expected, sure = {}, model.predict_proba(held_rows)
    for index, label in enumerate(model.classes_):
        # The middle of its kind by certainty, as an ordinary case.
        kind = [row for row in np.argsort(sure[:, index]) if held_labels[row] == label]
        write(f"samples/{label}.json", {"shape": [30], "data": decimals[kind[len(kind) // 2]]})
        expected[f"{label}.json"] = str(label)
    write("samples/expected.json", expected)


main()
