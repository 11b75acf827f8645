"""Trains twenty boosted trees and writes every file beside this script.

pip install scikit-learn==1.9.1 xgboost==3.2.0 onnxmltools==1.16.0 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
python train.py
"""

import json
import pathlib

import numpy as np
import onnxruntime
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from xgboost import XGBClassifier

HERE = pathlib.Path(__file__).parent


def main():
    data = load_breast_cancer()
    rows, held_rows, labels, held_labels = train_test_split(
        data.data.astype(np.float32), data.target, test_size=0.25, random_state=0)
    model = XGBClassifier(n_estimators=20, max_depth=3, random_state=0).fit(rows, labels)
    onnx = convert_xgboost(model, "trees", [("measurements", FloatTensorType([None, 30]))])
    onnx.opset_import.sort(key=lambda entry: entry.domain)
    (HERE / "model.onnx").write_bytes(onnx.SerializeToString())

    session = onnxruntime.InferenceSession(onnx.SerializeToString())
    answers = session.run(None, {"measurements": held_rows})[0]
    print(f"accuracy on {len(held_rows)} held-out rows: {np.mean(answers == held_labels):.4f}, "
          f"converted as trained: {np.mean(answers == model.predict(held_rows)):.4f}")

    np.save(HERE / "calibration.npy", rows)
    # The shortest decimals: as published.
    decimals = [[float(str(value)) for value in row] for row in held_rows]
    held = {"rows": decimals, "labels": [str(label) for label in held_labels]}
    (HERE / "held_out.json").write_text(json.dumps(held, separators=(",", ":")) + "\n")
    names = [str(name) for name in data.feature_names]
    (HERE / "features.json").write_text(json.dumps(names, separators=(",", ":")) + "\n")


main()
